import numpy as np
import pytest

from cxr_pipeline.evaluation.kept_arrays import kept_rows


class Maker:
    """Makes rows, and remembers which."""

    def __init__(self, stops_at=None):
        self.made, self.stops_at = [], stops_at

    def __call__(self, first, last):
        if first == self.stops_at:
            raise KeyboardInterrupt
        self.made.append((first, last))
        return np.arange(first, last)[:, None] * np.ones(2, dtype=np.float32)


def keep(folder, make, count=10, key=None):
    return kept_rows(folder, key or {"a": 1}, count, make, what="Rows", block=4)


def test_rows_are_made_in_blocks_and_once(tmp_path):
    first, again = Maker(), Maker()
    rows = keep(tmp_path, first)
    assert first.made == [(0, 4), (4, 8), (8, 10)]
    assert rows[:, 1].tolist() == list(range(10))
    assert np.array_equal(keep(tmp_path, again), rows)
    assert again.made == []


def test_what_was_stopped_goes_on_with_the_block_that_is_lacking(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        keep(tmp_path, Maker(stops_at=4))
    after = Maker()
    assert keep(tmp_path, after)[:, 0].tolist() == list(range(10))
    assert after.made == [(4, 8), (8, 10)]


def test_of_more_rows_those_that_are_there_stay(tmp_path):
    keep(tmp_path, Maker())
    more = Maker()
    assert keep(tmp_path, more, count=13)[:, 0].tolist() == list(range(13))
    assert more.made == [(8, 12), (12, 13)]


def test_another_key_is_another_array(tmp_path):
    keep(tmp_path, Maker())
    make = Maker()
    keep(tmp_path, make, key={"a": 2})
    assert make.made[0] == (0, 4)


@pytest.mark.parametrize("content", [b"", b"no array", None])
def test_a_damaged_block_is_named_with_a_remedy(tmp_path, content, one_line_error):
    keep(tmp_path, Maker())
    (block, *_) = sorted(tmp_path.glob("*/rows_*.npy"))
    block.write_bytes(block.read_bytes()[:-3] if content is None else content)
    message = one_line_error(keep, tmp_path, Maker())
    assert str(block) in message
    assert "delete it and run again" in message
