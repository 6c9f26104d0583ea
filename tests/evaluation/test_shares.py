import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from cxr_pipeline.evaluation.shares import resampled_share, wilson


@given(st.integers(1, 500), st.data())
def test_wilsons_interval_is_scipys(total, data):
    count = data.draw(st.integers(0, total))
    expected = binomtest(count, total).proportion_ci(0.95, method="wilson")
    assert wilson(count, total) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_a_share_of_none_may_still_be_one_of_few():
    share = resampled_share(0.0, np.zeros(100), 50)
    assert (share.value, share.low) == (0, 0)
    assert share.high == pytest.approx(wilson(0, 50)[1])


def test_what_resampling_knows_beyond_counts_widens_the_interval():
    share = resampled_share(0.5, np.linspace(0, 1, 101), 10_000)
    assert share.low == pytest.approx(0.025)
    assert share.high == pytest.approx(0.975)
