"""What a healthy chest takes out of the beam: each tissue's attenuation, summed.

In these units, attenuation 1 turns 63 % of the film white; layers add up, as overlapping organs do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from cxr_pipeline.data.phantoms import anatomy
from cxr_pipeline.data.phantoms.anatomy import Chest
from cxr_pipeline.data.phantoms.bones import draw_bones, draw_spine
from cxr_pipeline.data.phantoms.canvas import (
    LEFT,
    RIGHT,
    Canvas,
    Floats,
    Points,
    blur,
    cloud,
    curve,
    ellipse,
    fill,
    inside,
    ribbon,
    step,
    strokes,
    thickness,
)

LUNG_AIR = 0.95  # what a full depth of lung takes away from the chest wall's attenuation


@dataclass(frozen=True)
class Tissue:
    """A chest drawn on a canvas; every map is (side, side)."""

    canvas: Canvas
    chest: Chest
    x: Floats  # chest coordinates of the pixels
    y: Floats
    body: Floats  # 0..1, smooth
    lungs: dict[int, Floats]  # by side: 0..1, sharp
    depth: dict[int, Floats]  # by side: how much lung the beam crosses, 0..1
    vessels: dict[int, Floats]  # by side: attenuation of the lung vessels
    heart: Floats  # 0..1, sharp
    total: Floats  # attenuation of everything together


def draw_tissue(canvas: Canvas, chest: Chest, rng: np.random.Generator) -> Tissue:
    """Draw a chest; `rng` is the patient's, so that vessels and texture stay over the years."""
    x, y = canvas.grid()
    body, body_mask = _body(canvas, chest)
    lungs = {side: fill(canvas, anatomy.lung_outline(chest, side)) for side in (RIGHT, LEFT)}
    heart, mediastinum = _mediastinum(canvas, chest, y)
    # The heart takes the room of some lung: behind it the beam crosses less, least at the spine.
    behind = 1 - 0.5 * blur(canvas, thickness(inside(canvas, heart), 0.30), 0.02) * heart
    depth = {side: _lung_depth(canvas, mask) * behind for side, mask in lungs.items()}
    vessels = {side: _vessels(canvas, chest, side, rng) * lungs[side] for side in (RIGHT, LEFT)}
    air = depth[RIGHT] + depth[LEFT]
    parenchyma = cloud(canvas, rng, 0.09, octaves=3) * np.float64(0.017)
    total = (
        body
        + _abdomen(canvas, chest, x, y, rng) * body_mask
        + mediastinum
        + (draw_bones(canvas, chest) + draw_spine(canvas, chest, y)) * body_mask
        + _breasts(canvas, chest)
        + vessels[RIGHT]
        + vessels[LEFT]
        + air * (parenchyma - np.float64(LUNG_AIR * chest.air))
    )
    return Tissue(canvas, chest, x, y, body_mask, lungs, depth, vessels, heart, total)


def _body(canvas: Canvas, chest: Chest) -> tuple[Floats, Floats]:
    """Soft tissue of trunk, neck and arms (attenuation), and where the body is (0..1)."""
    # The body goes on beyond the film: measuring its thickness on a wider film keeps the film's
    # edge from counting as skin.
    trunk, *arms = anatomy.body_outlines(chest)
    pad = canvas.side // 2
    affine = canvas.affine.copy()
    affine[:, 2] += pad
    wide = Canvas(canvas.side + 2 * pad, affine / 2, canvas.warp)
    mask = fill(wide, trunk, *arms)
    arm_mask = np.maximum(fill(wide, arms[0]), fill(wide, arms[1]))
    deep = 0.30 + 0.1 * chest.build
    path = thickness(inside(wide, mask), deep) * (0.95 + 0.22 * chest.build)
    path += 0.18 * thickness(inside(wide, arm_mask), 0.16)
    if chest.chin > 0:
        chin = fill(wide, ellipse(0.02, -1.2 + chest.chin, 0.25, 0.24))
        mask = np.maximum(mask, chin)
        path += 0.5 * thickness(inside(wide, chin), 0.15)
    path = blur(wide, path, 0.018) * (0.25 + 0.75 * mask)
    cut = slice(pad // 2, pad // 2 + canvas.side // 2)
    size = (canvas.side, canvas.side)
    soft = cv2.resize(path[cut, cut], size, interpolation=cv2.INTER_CUBIC)
    inner = cv2.resize(mask[cut, cut], size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(soft, np.float64), np.asarray(inner, np.float64)


def _lung_depth(canvas: Canvas, mask: Floats) -> Floats:
    """Lung crossed by the beam: rises fast from the chest wall, then flat."""
    path = blur(canvas, thickness(inside(canvas, mask), 0.24), 0.01) * mask
    return (0.22 * blur(canvas, mask, 0.004) + 0.78 * path).astype(np.float64)


def _abdomen(
    canvas: Canvas, chest: Chest, x: Floats, y: Floats, rng: np.random.Generator
) -> Floats:
    """Liver, stomach and gut: denser downward; gas in the stomach, now and then in the gut."""
    mask = blur(canvas, fill(canvas, anatomy.abdomen_outline(chest)), 0.005)
    top = min(chest.dome_right, chest.dome_left)
    dense = mask * np.clip(0.45 + 0.85 * (y - np.float64(top)), 0.45, 0.9)
    # The belly is round: it thins out towards the flanks, and no edge shows beside the lungs.
    reach = np.clip((chest.width + 0.5 * chest.flare + 0.16 - np.abs(x)) / 0.42, 0, 1)
    dense *= reach * reach * (3 - 2 * reach)
    gas = np.zeros_like(mask)
    place = rng.uniform(0.26, 0.36)
    if chest.bubble > 0:
        cy = chest.dome_left + 0.04 + 0.6 * chest.bubble
        bubble = fill(canvas, ellipse(place, cy, 1.35 * chest.bubble, 0.72 * chest.bubble, 0.12))
        level = step(np.float64(cy + 0.2 * chest.bubble) - y, 0.012)  # the fluid level, upright
        gas += 0.6 * bubble * level
    for _ in range(int(rng.integers(0, 5))):
        cx, cy = rng.uniform(-0.1, 0.6), chest.dome_left + rng.uniform(0.28, 0.5)
        loop = ellipse(
            cx, cy, rng.uniform(0.03, 0.07), rng.uniform(0.025, 0.04), rng.uniform(-1, 1)
        )
        gas += 0.25 * fill(canvas, loop)
    return np.asarray(dense - blur(canvas, gas, 0.012) * mask, dtype=np.float64)


def _mediastinum(canvas: Canvas, chest: Chest, y: Floats) -> tuple[Floats, Floats]:
    """Heart mask (0..1), and the attenuation of heart, great vessels and windpipe."""
    kx, ky = anatomy.knob_place(chest)
    outline = fill(canvas, anatomy.heart_outline(chest))
    knob = fill(canvas, ellipse(kx, ky, chest.knob, 1.05 * chest.knob))
    heart = np.maximum(outline, knob)
    path = blur(canvas, thickness(inside(canvas, outline), 0.26), 0.014)
    s = chest.shift
    aorta = ribbon(
        curve([(kx, ky), (0.15 + 0.8 * s, -0.1), (0.12 + 0.6 * s, 0.2), (0.09, 0.6)]), 0.1
    )
    carina = chest.apex + 0.40
    pipe = curve([(0.0, -1.3), (0.0, chest.apex), (-0.02 + 0.6 * s, carina)])
    bronchi = [
        curve([(-0.02 + 0.6 * s, carina - 0.02), (side * 0.09 + 0.7 * s, carina + 0.13)], steps=4)
        for side in (RIGHT, LEFT)
    ]
    airway = fill(canvas, ribbon(pipe, 0.082), *(ribbon(line, 0.05) for line in bronchi))
    # Thin at the neck, full at the heart; below the domes the belly already counts for it.
    full = np.interp(y, [-1.0, -0.6, -0.3, 0.05], [0.0, 0.45, 0.6, 1.0]).astype(np.float64)
    full *= 1 - 0.7 * blur(canvas, fill(canvas, anatomy.abdomen_outline(chest)), 0.02)
    total = full * (
        0.24 * blur(canvas, heart, 0.006)
        + 0.42 * path * heart
        + 0.14 * blur(canvas, knob, 0.008)
        + 0.12 * blur(canvas, fill(canvas, aorta), 0.01)
    ) - 0.34 * blur(canvas, airway, 0.007)
    return heart, np.asarray(total, dtype=np.float64)


def _breasts(canvas: Canvas, chest: Chest) -> Floats:
    """Breast shadows: soft above, with an edge below."""
    total = np.zeros((canvas.side, canvas.side), np.float64)
    if chest.breast <= 0:
        return total
    size = 0.19 + 0.12 * chest.breast
    for side in (RIGHT, LEFT):
        x, y = side * (0.42 + 0.05 * chest.breast), chest.dome_right - 0.14 + 0.08 * chest.breast
        mask = fill(canvas, ellipse(x, y, size * 1.15, size, side * 0.3))
        total += blur(canvas, thickness(inside(canvas, mask), 0.75 * size), 0.012)
    return np.asarray(total * (0.13 + 0.20 * chest.breast), dtype=np.float64)


def _vessels(canvas: Canvas, chest: Chest, side: int, rng: np.random.Generator) -> Floats:
    """Lung vessels of one side: a tree from the hilum that thins towards the edge."""
    x, y = anatomy.hilum(chest, side)
    by_size: dict[int, list[Points]] = {}
    # Directions as angles from level, outward; the lower ones run more steeply and are larger.
    for angle, size in zip(
        (-1.25, -0.85, -0.4, 0.1, 0.5, 0.9, 1.25), (0.8, 0.8, 0.7, 0.8, 0.95, 1.1, 1.1), strict=True
    ):
        _branch(
            by_size,
            rng,
            side,
            (x, y),
            angle + rng.normal(0, 0.2),
            0.18 * size * rng.uniform(0.8, 1.15),
            0,
            size,
        )
    total = np.zeros((canvas.side, canvas.side), np.float64)
    for level, lines in by_size.items():
        width = (0.034, 0.020, 0.012, 0.008, 0.005)[level]
        weight = (0.13, 0.12, 0.10, 0.08, 0.06)[level]
        layer = blur(canvas, strokes(canvas, lines, width, weight), 0.004 + 0.1 * width)
        total = np.maximum(total, layer)
    root = [
        ellipse(x + side * rng.normal(0, 0.015), y + dy, 0.05, 0.075, side * 0.3)
        for dy in (-0.06, 0.02, 0.10)
    ]
    total += 0.13 * blur(canvas, fill(canvas, *root), 0.02)
    # The descending artery: the broadest vessel of a healthy hilum.
    trunk = curve(
        [(x - side * 0.03, y - 0.04), (x + side * 0.015, y + 0.08), (x + side * 0.0, y + 0.24)]
    )
    artery = fill(canvas, ribbon(trunk, np.linspace(0.06, 0.03, len(trunk))))
    total += 0.12 * blur(canvas, artery, 0.007)
    return np.asarray(total * chest.vessels, dtype=np.float64)


def _branch(
    by_size: dict[int, list[Points]],
    rng: np.random.Generator,
    side: int,
    start: tuple[float, float],
    angle: float,
    length: float,
    level: int,
    size: float,
) -> None:
    """Add one vessel and its branches to `by_size` (lines by branching level)."""
    bend = rng.normal(0, 0.5)
    points = [start]
    for k in range(3):
        heading = angle + bend * (k - 1) / 2
        px, py = points[-1]
        points.append(
            (px + side * length / 3 * math.cos(heading), py + length / 3 * math.sin(heading))
        )
    by_size.setdefault(level, []).append(curve(points, steps=4))
    if level == 4:
        return
    for turn in (rng.uniform(0.2, 0.55), -rng.uniform(0.2, 0.55)):
        shorter = length * rng.uniform(0.62, 0.9)
        _branch(by_size, rng, side, points[-1], angle + turn, shorter, level + 1, size)
