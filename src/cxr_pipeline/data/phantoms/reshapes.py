"""How findings change the shape of a chest: one small function a finding.

A reshape takes a chest and gives the changed chest; `place` and `extent` are as in
`phantom_findings`. A finding that has both a reshape and an overlay gets two generators in the same
state: both begin by drawing `affected_side`, and so agree on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cxr_pipeline.data.phantoms.anatomy import Chest
from cxr_pipeline.data.phantoms.canvas import LEFT, RIGHT

Reshape = Callable[[Chest, np.random.Generator, float], Chest]


def affected_side(place: np.random.Generator) -> int:
    """The side this patient's finding is on."""
    return RIGHT if place.random() < 0.5 else LEFT


def enlarge_heart(chest: Chest, place: np.random.Generator, extent: float) -> Chest:
    """Cardiomegaly: heart wider than 0.55 of the chest, mostly to the left."""
    ratio = 0.57 + 0.12 * extent
    grow = 2 * chest.width * ratio - (chest.heart_left + chest.heart_right)
    left = place.uniform(0.6, 0.75)
    return replace(
        chest,
        heart_left=chest.heart_left + left * grow,
        heart_right=chest.heart_right + (1 - left) * grow,
    )


def overinflate(chest: Chest, place: np.random.Generator, extent: float) -> Chest:
    """Emphysema: long, dark, wide lungs over flat domes, a narrow upright heart, few vessels."""
    fall = 0.14 + 0.10 * extent
    return replace(
        chest,
        width=chest.width * (1.04 + 0.03 * extent),
        flare=0.3 * chest.flare,
        apex=chest.apex - 0.03,
        dome_right=chest.dome_right + fall,
        dome_left=chest.dome_left + fall,
        recess=0.06,
        heart_left=chest.heart_left * (0.78 - 0.1 * extent),
        heart_right=chest.heart_right * 0.8,
        heart_low=chest.heart_low + 0.6 * fall,
        rib_gap=chest.rib_gap * 1.09,
        rib_drop=chest.rib_drop * 0.6,
        vessels=chest.vessels * (0.55 - 0.15 * extent),
        air=chest.air * (1.10 + 0.04 * extent),
    )


def collapse_lobe(chest: Chest, place: np.random.Generator, extent: float) -> Chest:
    """Atelectasis: one dome rises and the heart moves over."""
    side = affected_side(place)
    rise = 0.10 + 0.12 * extent
    right, left = (rise, 0.0) if side == RIGHT else (0.0, rise)
    return replace(
        chest,
        shift=chest.shift + side * (0.03 + 0.05 * extent),
        dome_right=chest.dome_right - right,
        dome_left=chest.dome_left - left,
    )


def shrink_lungs(chest: Chest, place: np.random.Generator, extent: float) -> Chest:
    """Fibrosis: stiff, small lungs."""
    rise = 0.05 + 0.06 * extent
    return replace(
        chest,
        dome_right=chest.dome_right - rise,
        dome_left=chest.dome_left - rise,
        apex=chest.apex + 0.02,
        heart_low=chest.heart_low - 0.7 * rise,
        air=chest.air * 0.97,
    )


def push_aside(chest: Chest, place: np.random.Generator, extent: float) -> Chest:
    """Pneumothorax: much free air pushes the mediastinum to the other side."""
    return replace(chest, shift=chest.shift - affected_side(place) * 0.07 * max(0.0, extent - 0.4))


RESHAPES: dict[str, Reshape] = {
    "Atelectasis": collapse_lobe,
    "Cardiomegaly": enlarge_heart,
    "Emphysema": overinflate,
    "Fibrosis": shrink_lungs,
    "Pneumothorax": push_aside,
}
