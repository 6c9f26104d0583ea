import pytest
from torch import nn

from cxr_pipeline.evaluation.parameter_counts import PAPER_PARAMETERS, count_parameters


def test_weights_and_biases_count_and_buffers_do_not():
    network = nn.Sequential(nn.Conv2d(2, 3, 4, bias=False), nn.BatchNorm2d(3), nn.Linear(5, 7))
    counts = count_parameters("mine", {"network": network})
    assert counts["parameters"].tolist() == [2 * 3 * 16 + 2 * 3 + 5 * 7 + 7] * 2


def test_components_stand_in_order_with_their_total_below():
    counts = count_parameters("mine", {"b": nn.Linear(1, 2), "a": nn.Linear(2, 2, bias=False)})
    assert counts.drop(columns="paper").to_numpy().tolist() == [
        ["mine", "b", 4],
        ["mine", "a", 4],
        ["mine", "total", 8],
    ]
    assert list(counts.columns) == ["model", "component", "parameters", "paper"]


def test_frozen_parameters_count_too():
    network = nn.Linear(3, 3).requires_grad_(False)
    assert count_parameters("mine", {"network": network})["parameters"].tolist() == [12, 12]


def test_the_papers_numbers_stand_beside_and_are_missing_where_it_has_none():
    networks = {"generator": nn.Linear(1, 1), "discriminator": nn.Linear(1, 1), "other": nn.ReLU()}
    counts = count_parameters("gan", networks).set_index("component")["paper"]
    assert str(counts.dtype) == "Int64"
    assert counts.fillna(-1).to_dict() == {
        "generator": 3_606_976,
        "discriminator": 2_795_904,
        "other": -1,
        "total": 6_402_880,
    }
    assert count_parameters("another", networks)["paper"].isna().all()


@pytest.mark.parametrize("model", sorted({model for model, _ in PAPER_PARAMETERS}))
def test_the_papers_components_add_up_to_its_total(model):
    numbers = {part: n for (name, part), n in PAPER_PARAMETERS.items() if name == model}
    assert numbers.pop("total") == sum(numbers.values())
