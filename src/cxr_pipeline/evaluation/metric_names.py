"""What each metric is called where people read it, and which way it is better."""

from typing import NamedTuple

LOWER, HIGHER, AS_REAL = "lower", "higher", "as real"
ARROWS = {LOWER: "↓", HIGHER: "↑", AS_REAL: "≈", "": ""}


class MetricName(NamedTuple):
    """A metric as it is spoken of."""

    group: str
    name: str
    what: str
    """In a few words."""
    better: str
    """`lower`, `higher`, `as real` where the aim is what real images score, or blank."""

    @property
    def heading(self) -> str:
        """Its name with an arrow that says which way it is better."""
        return f"{self.name} {ARROWS[self.better]}".rstrip()


GROUPS = {
    "fidelity": "Fidelity: do samples look like real images?",
    "diversity": "Diversity: are they as varied?",
    "agreement": "Agreement: do they show the findings they were asked for?",
    "utility": "Utility: do they help to train a classifier?",
    "memorisation": "Memorisation: are they copies of training images?",
}
"""In the order in which they are shown."""

METRICS = {
    "fidelity/frechet_distance": (
        "Frechet distance",
        "how far means and covariances of features lie apart",
        LOWER,
    ),
    "fidelity/kid": ("KID", "how far features lie apart, by a kernel, without bias", LOWER),
    "fidelity/precision": ("precision", "share of samples that lie among real images", HIGHER),
    "fidelity/density": ("density", "how many real images a sample has around it", HIGHER),
    "fidelity/sliced_wasserstein": (
        "sliced Wasserstein distance",
        "how far small patches lie apart, at several scales",
        LOWER,
    ),
    "fidelity/power_spectrum": (
        "power spectrum",
        "how far the power of fine and coarse detail is off, in dB",
        LOWER,
    ),
    "diversity/recall": ("recall", "share of real images that lie among samples", HIGHER),
    "diversity/coverage": ("coverage", "share of real images with a sample near by", HIGHER),
    "diversity/ms_ssim": ("MS-SSIM of pairs", "how alike two samples are", AS_REAL),
    "agreement/auroc": (
        "AUROC",
        "how well the classifier tells samples asked to show a finding from others",
        HIGHER,
    ),
    "memorisation/copies": ("copies", "share of samples taken for copies", LOWER),
    "memorisation/closer_in_pixels": (
        "closer in pixels",
        "share nearer to a training image than 99 % of real images held out, or all where few are",
        LOWER,
    ),
    "memorisation/closer_in_features": (
        "closer in features",
        "the same between features",
        LOWER,
    ),
    "memorisation/authenticity": (
        "authenticity",
        "share farther from the nearest training image than that is from its own nearest",
        HIGHER,
    ),
}
"""Name, what it is, and which way it is better, in the order in which they are shown."""


def metric_name(metric: str) -> MetricName:
    """Say what a metric of `evaluation.csv` is.

    Args:
        metric: Such as `fidelity/kid/classifier`. One that is not known keeps its own name.
    """
    group, own, extractor = (*metric.split("/", 2), "", "")[:3]
    if group == "utility":
        arm = own.replace("_", " ")
        return MetricName(group, arm, "difference in mean AUROC to training on real images", HIGHER)
    name, what, better = METRICS.get(f"{group}/{own}", ((own or group).replace("_", " "), "", ""))
    return MetricName(group, f"{name}, {extractor}" if extractor else name, what, better)


def metric_order(metric: str) -> tuple[int, int, str]:
    """Sort metrics as they are shown: those of one name beside one another."""
    known = list(METRICS)
    base = "/".join(metric.split("/")[:2])
    groups = list(GROUPS)
    group = base.partition("/")[0]
    return (
        groups.index(group) if group in groups else len(groups),
        known.index(base) if base in known else len(known),
        metric,
    )
