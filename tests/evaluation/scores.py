"""An evaluation's files, as runs leave them: three models and a folder, by two extractors."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
from PIL import Image

from cxr_pipeline.evaluation.measured import Findings, Measured, Missing
from cxr_pipeline.evaluation.scorecard import gather

SUBJECTS = {"gan": "a" * 64, "vae": "b" * 64, "gmvae": "c" * 64, "folder": "d" * 64}
SEEN = ("Cardiomegaly", "Effusion", "Mass", "No Finding")

# Value of real images, gan, vae, gmvae and the folder; half the interval's width.
FIDELITY = {
    "fidelity/frechet_distance/classifier": ((9.1, 24.0, 61.5, 58.2, 9.4), 2.5),
    "fidelity/kid/classifier": ((0.001, 0.035, 0.12, 0.11, 0.002), 0.012),
    "fidelity/precision/classifier": ((0.81, 0.66, 0.72, 0.70, 0.80), 0.08),
    "fidelity/density/classifier": ((0.97, 0.71, 0.92, 0.88, 0.95), 0.11),
    "diversity/recall/classifier": ((0.79, 0.51, 0.08, 0.12, 0.78), 0.1),
    "diversity/coverage/classifier": ((0.9, 0.55, 0.21, 0.22, 0.88), 0.09),
    "fidelity/frechet_distance/random": ((0.12, 0.41, 0.38, 0.5, 0.12), 0.05),
    "fidelity/kid/random": ((0.0, 0.02, 0.021, 0.03, 0.0), 0.004),
    "fidelity/precision/random": ((0.8, 0.5, 0.44, 0.4, 0.79), 0.1),
    "fidelity/density/random": ((0.99, 0.6, 0.4, 0.41, 0.98), 0.1),
    "diversity/recall/random": ((0.8, 0.4, 0.05, 0.06, 0.79), 0.1),
    "diversity/coverage/random": ((0.92, 0.4, 0.2, 0.19, 0.9), 0.1),
    "diversity/ms_ssim": ((0.31, 0.36, 0.71, 0.7, 0.3), 0.03),
    "fidelity/sliced_wasserstein": ((2.2, 6.1, 30.2, 28.1, 2.4), 0.9),
    "fidelity/power_spectrum": ((0.4, 2.1, 9.4, 9.3, 0.5), 0.3),
}
MEMORISATION = {
    "memorisation/closer_in_pixels": ((0.01, 0.0, 0.14, 0.12, 0.02), 0.02),
    "memorisation/closer_in_features": ((0.01, 0.02, 0.11, 0.1, 0.01), 0.02),
    "memorisation/authenticity": ((0.62, 0.7, 0.31, 0.35, 0.6), 0.06),
    "memorisation/copies": ((0.0, 0.15, 0.0, 0.01, 0.0), 0.02),
}
ARMS = {"synthetic_25": 0.002, "synthetic_100": 0.011, "synthetic_only": -0.14, "pretrained": 0.004}
REAL_ARMS = {"duplicated_25": 0.003, "duplicated_100": 0.008, "augmented": 0.031}


def rows_of(metrics, names=("real", *SUBJECTS), n=26):
    """The rows of metrics laid out as above."""
    rows = []
    for metric, (values, half) in metrics.items():
        for model, value in zip(names, values, strict=True):
            rows.append(Measured(model, metric, value, max(value - half, 0), value + half, n))
    return rows


def parts():
    """What each part of the evaluation found."""
    extractors = {
        "classifier": {"sha256": "e" * 64, "dimensions": 128},
        "random": {"sha256": "f" * 64, "dimensions": 240},
    }
    facts = {"extractors": extractors, "n": 26, "seed": 0, "kid_subset": 20, "neighbours": 5}
    line = "gan is nearer to real images than vae by classifier, further by random; within"
    fidelity = Findings(
        "fidelity",
        SUBJECTS,
        rows_of(FIDELITY),
        [Missing("folder", "fidelity/kid/inception", "too few images: 9; set evaluation.x=9")],
        facts | {"disagreements": [line]},
    )
    not_conditional = "it was not asked for findings: set gan.conditional=true"
    agreement = Findings(
        "agreement",
        SUBJECTS,
        [
            Measured("real", "agreement/auroc", 0.83, 0.71, 0.92, 52),
            Measured("gmvae", "agreement/auroc", 0.61, 0.55, 0.66, 256),
        ],
        [Missing(name, "agreement/auroc", not_conditional) for name in ("gan", "vae", "folder")],
    )
    memorisation = Findings(
        "memorisation", SUBJECTS, rows_of(MEMORISATION, n=256), facts={"seed": 0}
    )
    helped = [
        Measured(model, f"utility/{arm}", value, value - 0.03, value + 0.03, 52)
        for model, arms in (("real", REAL_ARMS), ("gan", ARMS), ("vae", ARMS))
        for arm, value in arms.items()
    ]
    facts = {"seeds": 3, "labels": dict.fromkeys(SUBJECTS, "guessed")}
    reason = "its images carry no findings: give the folder a label CSV"
    utility = Findings("utility", SUBJECTS, helped, [Missing("folder", "utility", reason)], facts)
    return [fidelity, agreement, memorisation, utility]


def utility_table():
    """`utility.csv`: all findings together, and one finding."""
    rows = []
    for model, arms in (("real", REAL_ARMS), ("gan", ARMS), ("vae", ARMS)):
        for arm, value in arms.items():
            for group in ("all", "head", "Mass"):
                over = value - 0.008
                rows.append(
                    {
                        "model": model, "arm": arm, "share": 1.0, "group": group,
                        "auroc": 0.74 + value, "low": 0.7, "high": 0.8, "difference": value,
                        "difference_low": value - 0.03, "difference_high": value + 0.03,
                        "control": "duplicated_100" if model != "real" else "",
                        "over_control": over if model != "real" else np.nan,
                        "over_control_low": over - 0.03 if model != "real" else np.nan,
                        "over_control_high": over + 0.03 if model != "real" else np.nan,
                        "verdict": verdict_of(model, value), "seeds": 3, "n": 52,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def verdict_of(model, difference):
    if difference < -0.03:
        return "loss"
    return "gain" if difference > 0.03 and model == "real" else "within noise"


def tables():
    """The other tables, by their paths below the reporting folder."""
    own = np.random.default_rng(0)
    classifier = [
        (finding, metric, value, value - 0.09, min(value + 0.08, 1), positives, 52)
        for finding, auroc, positives in (
            ("Cardiomegaly", 0.93, 6),
            ("Effusion", 0.88, 9),
            ("Mass", 0.55, 3),
            ("mean", 0.79, 18),
        )
        for metric, value in (("auroc", auroc), ("average_precision", auroc - 0.3))
    ]
    classifier += [("Hernia", metric, None, None, None, 0, 52) for metric in ("auroc",)]
    agreement = [
        (model, finding, value, value - 0.1, value + 0.1, 20, 256)
        for model, value in (("real", 0.84), ("gmvae", 0.6))
        for finding in SEEN
    ]
    power = [
        (space, change, 13, found, found / 13, max(0, found / 13 - 0.15), min(1, found / 13 + 0.1))
        for space, counts in (("pixels", (13, 13, 12, 0)), ("features", (13, 9, 11, 1)))
        for change, found in zip(
            ("exact", "flipped", "shifted by 2 px", "none: held-out images"),
            counts,
            strict=True,
        )
    ]
    distances = [
        (model, space, own.gamma(shape, 0.1))
        for model, shape in (("real", 9), ("gan", 8), ("vae", 4), ("gmvae", 5), ("folder", 9))
        for space in ("pixels", "features")
        for _ in range(60)
    ]
    columns = {
        "classifier/scores.csv": "finding metric value low high positives n",
        "evaluation/agreement.csv": "model finding auroc low high asked n",
        "evaluation/memorisation_power.csv": "space change planted found share low high",
        "evaluation/distances.csv": "model space distance",
    }
    rows = (classifier, agreement, power, distances)
    made = {
        path: pd.DataFrame(own, columns=names.split())
        for (path, names), own in zip(columns.items(), rows, strict=True)
    }
    return made | {"evaluation/utility.csv": utility_table()}


def parts_of_older_weights(*stale):
    """What each part found; some of these of a gan that was trained anew since."""
    older = SUBJECTS | {"gan": "9" * 64}
    return [replace(one, subjects=older) if one.part in stale else one for one in parts()]


def save_scores(reports, models, found=None):
    """Write all that an evaluation leaves."""
    found = found or parts()
    own = reports / "evaluation"
    own.mkdir(parents=True)
    for part in found:
        (own / f"{part.part}.json").write_text(json.dumps(part.record()))
    evaluation, record = gather(found, models, max_memorised=0.1)
    evaluation.to_csv(reports / "evaluation.csv", index=False)
    (reports / "evaluation.json").write_text(json.dumps(record))
    for path, table in tables().items():
        (reports / path).parent.mkdir(exist_ok=True)
        table.to_csv(reports / path, index=False)
    pairs = own / "closest_pairs"
    pairs.mkdir()
    for level, model in enumerate(SUBJECTS):
        sheet = np.full((300, 640), 90 + level, dtype=np.uint8)
        Image.fromarray(sheet).save(pairs / f"{model}.png")
