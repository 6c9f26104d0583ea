"""The findings of ChestX-ray14 and NIH-CXR-LT, and how often the paper counts each (Table 1)."""

from collections.abc import Iterable

NO_FINDING = "No Finding"

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)
"""The 14 findings of NIH's label file, spelt as there."""

CXR_LT_FINDINGS = (
    "Pneumoperitoneum",
    "Pneumomediastinum",
    "Subcutaneous Emphysema",
    "Tortuous Aorta",
    "Calcification of the Aorta",
)
"""The five that NIH-CXR-LT adds, spelt as there."""

CLASSES = (*FINDINGS, *CXR_LT_FINDINGS, NO_FINDING)
"""Every name that a label may have, in the order of our columns."""

BALANCES = ("training", "flat")
"""What a conditional model may be asked for in place of findings: those of the training set, as
often as there, or each equally often."""

# Table 1. The paper counts NIH-CXR-LT's labels, in which 955 images that NIH lists as
# 'No Finding' have one of five further findings: hence 59,406 and not NIH's 60,361.
PAPER_COUNTS = {
    NO_FINDING: 59406,
    "Infiltration": 19894,
    "Effusion": 13317,
    "Atelectasis": 11559,
    "Nodule": 6331,
    "Mass": 5782,
    "Pneumothorax": 5302,
    "Consolidation": 4667,
    "Pleural_Thickening": 3385,
    "Cardiomegaly": 2776,
    "Emphysema": 2516,
    "Edema": 2303,
    "Subcutaneous Emphysema": 1991,
    "Fibrosis": 1686,
    "Pneumonia": 1431,
    "Tortuous Aorta": 742,
    "Calcification of the Aorta": 455,
    "Pneumoperitoneum": 316,
    "Pneumomediastinum": 253,
    "Hernia": 227,
}
"""Images a finding in the paper's Table 1, in its order."""


def _spelling(text: str) -> str:
    return text.strip().replace("_", " ").casefold()


_NAMES = {_spelling(name): name for name in CLASSES}


def finding_name(text: str) -> str | None:
    """Give a finding its one name, whether written `Pleural_Thickening` or `pleural thickening`.

    Returns:
        The name as in `CLASSES`; None if there is no such finding.
    """
    return _NAMES.get(_spelling(text))


def classes_among(columns: Iterable[str]) -> list[str]:
    """List the columns that are classes, in the order of `CLASSES`.

    A label table has those that its label file knows: 14 findings and `No Finding` from NIH's, 19
    and `No Finding` from NIH-CXR-LT's.
    """
    present = set(columns)
    return [name for name in CLASSES if name in present]
