"""The findings of ChestX-ray14, and how often the paper counts each (Table 1)."""

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
"""The 14 findings, spelt as in NIH's label file."""

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
    "Fibrosis": 1686,
    "Pneumonia": 1431,
    "Hernia": 227,
}
"""Images a finding in the paper's Table 1 (its five CXR-LT findings left out)."""
