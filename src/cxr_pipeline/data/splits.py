"""Which patients train a model and which are held out."""

import hashlib

import pandas as pd

SPLITS = ("train", "validation", "test")


def split_by_patient(
    patients: "pd.Series[str]", *, validation: float, test: float, seed: int
) -> "pd.Series[str]":
    """Give every patient a split, from a hash of the seed and the patient alone.

    All images of a patient fall in one split, and adding or removing patients moves nobody.

    Args:
        patients: Patient identifiers, one an image.
        validation: Expected share of patients in `validation`, in [0, 1).
        test: Expected share of patients in `test`, in [0, 1).
        seed: Another seed, another partition.

    Returns:
        `train`, `validation` or `test` for each row of `patients`, on the same index.

    Raises:
        ValueError: If the two shares leave no patient to train on.
    """
    if validation < 0 or test < 0 or validation + test >= 1:
        raise ValueError(
            f"validation={validation} and test={test} leave no patient to train on: "
            "choose shares of at least 0 that add up to less than 1"
        )

    def split_of(patient: str) -> str:
        digest = hashlib.blake2b(f"{seed}/{patient}".encode(), digest_size=8).digest()
        position = int.from_bytes(digest, "big") / 2**64
        if position < test:
            return "test"
        return "validation" if position < test + validation else "train"

    split_of_patient = {patient: split_of(patient) for patient in patients.unique()}
    return patients.map(split_of_patient).rename("split")
