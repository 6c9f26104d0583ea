"""How extractors rank models, and where they do not agree."""

from collections.abc import Iterable
from itertools import combinations

from cxr_pipeline.evaluation.image_sets import REAL
from cxr_pipeline.evaluation.measured import Measured

FRECHET = "fidelity/frechet_distance"


def orders(rows: Iterable[Measured], count: int) -> dict[str, list[str]]:
    """Order the models by their Frechet distance, the nearest to real images first.

    Args:
        rows: What was measured.
        count: Images of a model; those measured on fewer are left out, being further off for that.

    Returns:
        By extractor.
    """
    return {
        extractor: sorted(by_model, key=lambda model: by_model[model].value)
        for extractor, by_model in _distances(rows, count).items()
    }


def disagreements(rows: Iterable[Measured], count: int) -> list[str]:
    """Say of which two models one extractor finds one nearer to real images, another the other.

    Args:
        rows: What was measured.
        count: Images of a model, as in `orders`.

    Returns:
        A line for each; it says whether the models' intervals are apart.
    """
    lines = []
    for (first, one), (second, other) in combinations(_distances(rows, count).items(), 2):
        models = [model for model in one if model in other]
        for nearer, further in combinations(sorted(models, key=lambda model: one[model].value), 2):
            if other[nearer].value <= other[further].value:
                continue
            both_apart = _apart(one[nearer], one[further]) and _apart(other[nearer], other[further])
            lines.append(
                f"{nearer} is nearer to real images than {further} by {first}, further by "
                f"{second}; " + ("beyond" if both_apart else "within") + " their intervals"
            )
    return lines


def _distances(rows: Iterable[Measured], count: int) -> dict[str, dict[str, Measured]]:
    """Frechet distances by extractor and model."""
    found: dict[str, dict[str, Measured]] = {}
    for row in rows:
        metric, _, extractor = row.metric.rpartition("/")
        if metric == FRECHET and row.model != REAL and row.n == count:
            found.setdefault(extractor, {})[row.model] = row
    return found


def _apart(one: Measured, other: Measured) -> bool:
    return one.high < other.low or other.high < one.low
