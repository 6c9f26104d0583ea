"""The drawn chests show their findings, and the classifier finds them."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
import yaml
from tests.conftest import REPOSITORY

from cxr_pipeline.data.conditions import multi_hot
from cxr_pipeline.data.findings import FINDINGS
from cxr_pipeline.data.phantoms import draw_phantom, sample_rows
from cxr_pipeline.data.resizing import resize_images
from cxr_pipeline.data.transforms import Transform, transform
from cxr_pipeline.evaluation.ranking import auroc
from cxr_pipeline.training.classifier import ImageClassifier, train_classifier

CONFIGURATION = REPOSITORY / "conf/base/parameters_evaluation.yml"

IMAGES, PATIENTS = 1500, 370


@pytest.mark.slow
def test_on_phantoms_auroc_is_over_0_9_on_at_least_8_of_14_findings(tmp_path):
    rows = sample_rows(seed=3, patients=PATIENTS, images=IMAGES)
    # Not forked: torch's threads would be missing in the copies.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context) as pool:
        draw = partial(draw_phantom, seed=3, size=256)
        drawn = pool.map(draw, rows.to_dict("records"), chunksize=16)
        how = Transform(size=128, equalise=True)
        pixels = np.stack([transform(image, how) for image in drawn])
    findings = multi_hot(rows["Finding Labels"].tolist(), FINDINGS)
    test = rows["Patient ID"].astype(int).to_numpy() % 5 == 0
    parameters = yaml.safe_load(CONFIGURATION.read_text())["classifier"]
    small = torch.from_numpy(resize_images(pixels, parameters["image_size"]))[:, None]
    training, held_out = (
        {"pixels": small[torch.from_numpy(part)], "findings": findings[torch.from_numpy(part)]}
        for part in (~test, test)
    )
    trained = train_classifier(
        training,
        held_out,
        FINDINGS,
        # As on the sample data, but for the epochs: there are six times as many images.
        parameters | {"epochs": 20},
        checkpoints=tmp_path,
        identity={},
        on_metrics=lambda *_: None,
    )
    classifier = ImageClassifier(trained.config, trained.weights)
    probabilities = classifier.probabilities(pixels[test])
    truths, once = findings[torch.from_numpy(test)].numpy() > 0, np.ones((1, test.sum()))
    found = {
        name: float(auroc(probabilities[:, c], truths[:, c], once)[0])
        for c, name in enumerate(FINDINGS)
    }
    assert sum(value > 0.9 for value in found.values()) >= 8, found
