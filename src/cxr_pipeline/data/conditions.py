"""The label vector y that conditional models are given, and which findings are asked of them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from cxr_pipeline.data.findings import (
    CLASSES,
    CXR_LT_FINDINGS,
    NO_FINDING,
    classes_among,
    finding_name,
)
from cxr_pipeline.randomness import random_generator

SEPARATOR = "|"


def conditions(classes: Iterable[str]) -> tuple[str, ...]:
    """Name the entries of y.

    The paper's has 14 with NIH's labels, where an image without a finding is all zeros, and 20 with
    NIH-CXR-LT's, whose `No Finding` is one of them: also where a synthetic data set has only some
    of CXR-LT's five.

    Args:
        classes: The classes that the label file knows.
    """
    known = classes_among(classes)
    if set(known) & set(CXR_LT_FINDINGS):
        return CLASSES
    return tuple(name for name in known if name != NO_FINDING)


def multi_hot(labels: Sequence[str], entries: Sequence[str]) -> Tensor:
    """Turn labels into label vectors.

    Args:
        labels: N times findings as NIH writes them, `A|B` or `No Finding`.
        entries: The C entries of y; none for models that are not conditional.

    Returns:
        (N, C) float32, 1 for each finding.

    Raises:
        ValueError: If a label is blank, so that nothing is known of its image.
    """
    rows = torch.zeros(len(labels), len(entries))
    if not entries:
        return rows
    places = {name: place for place, name in enumerate(entries)}
    for label, row in zip(labels, rows, strict=True):
        if not label:
            raise ValueError(
                "a conditional model, or classifier, needs labelled images, but some have none: "
                "leave them out by its selection.findings, or set the model's conditional=false"
            )
        for name in label.split(SEPARATOR):
            if name in places:
                row[places[name]] = 1
    return rows


def asked_findings(findings: Sequence[str], entries: Sequence[str]) -> str:
    """Check findings that a user asks of a model.

    Args:
        findings: Their names, in any spelling; `No Finding` alone is none of them.
        entries: The entries of the model's y.

    Returns:
        The label as NIH writes it, in the entries' order.

    Raises:
        ValueError: If the model was not trained with one of them, or cannot be asked at all.
    """
    if not entries:
        raise ValueError(
            f"findings={SEPARATOR.join(findings)} cannot be asked of a model that was trained "
            "without them: train with conditional=true (GMVAE: a version fs_...), or leave "
            "findings out"
        )
    names = set()
    for text in findings:
        name = finding_name(str(text))
        if name not in {*entries, NO_FINDING}:
            raise ValueError(
                f"unknown finding {text!r}: the model knows {', '.join(entries)} and {NO_FINDING}"
            )
        names.add(name)
    if NO_FINDING in names and len(names) > 1:
        raise ValueError(f"{NO_FINDING} goes with no other finding: ask for one or the other")
    # `No Finding` is an entry of some models and not of others.
    in_order = dict.fromkeys((*entries, NO_FINDING))
    return SEPARATOR.join(name for name in in_order if name in names)


def label_balance(labels: Iterable[str]) -> dict[str, int]:
    """Count how many images have each label, the most frequent first."""
    return dict(Counter(labels).most_common())


def balanced_labels(balance: Mapping[str, int], count: int, seed: int, number: int) -> list[str]:
    """Draw labels as often as they occur in the training set.

    Args:
        balance: What `label_balance` counted.
        count: How many to draw.
        seed: Decides the draw, with the number.
        number: Which draw it is.
    """
    generator = random_generator(seed, "findings", number)
    names = sorted(balance)  # JSON does not keep their order
    weights = torch.tensor([balance[name] for name in names], dtype=torch.float64)
    chosen = torch.multinomial(weights, count, replacement=True, generator=generator)
    return [names[place] for place in chosen]


def flat_labels(entries: Sequence[str], first: int, count: int) -> list[str]:
    """Give each finding, and none, its turn: every class equally often.

    Args:
        entries: The entries of the model's y.
        first: Number of the first image.
        count: How many labels.
    """
    turns = [*entries, *([] if NO_FINDING in entries else [NO_FINDING])]
    return [turns[number % len(turns)] for number in range(first, first + count)]
