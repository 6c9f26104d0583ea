"""What each finding puts into the beam, or takes out of it: one small function a finding.

An overlay takes the drawn tissue and gives the attenuation to add, a (side, side) map. `place` is
the patient's generator for this finding (side and site stay over the follow-ups), `extent` in 0..1
says how far it has come in this image. What changes the chest's shape is in `phantom_reshapes`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from cxr_pipeline.data.phantoms import anatomy
from cxr_pipeline.data.phantoms.anatomy import mirrored
from cxr_pipeline.data.phantoms.canvas import (
    LEFT,
    RIGHT,
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
)
from cxr_pipeline.data.phantoms.reshapes import affected_side
from cxr_pipeline.data.phantoms.tissue import LUNG_AIR, Tissue

Overlay = Callable[[Tissue, np.random.Generator, float], Floats]


def _blob(tissue: Tissue, x: float, y: float, rx: float, ry: float) -> Floats:
    """A Gaussian spot of 1 at (x, y)."""
    away = ((tissue.x - x) / rx) ** 2 + ((tissue.y - y) / ry) ** 2
    return np.asarray(np.exp(-0.5 * away), dtype=np.float64)


def _lobed(place: np.random.Generator, x: float, y: float, radius: float, uneven: float) -> Points:
    """The outline of a round thing with bulges of about `uneven` of its radius."""
    angle = np.linspace(0, 2 * math.pi, 60, endpoint=False)
    reach = np.full_like(angle, radius)
    for k in (2, 3, 4, 5, 7):
        reach += (
            radius * uneven * place.uniform(0.2, 1) / k * np.sin(k * angle + place.uniform(0, 6))
        )
    return np.stack([x + reach * np.cos(angle), y + reach * np.sin(angle)], 1)


def _site(
    tissue: Tissue, place: np.random.Generator, side: int, high: float, low: float
) -> tuple[float, float]:
    """A point within a lung, `high`..`low` as shares of the way from apex to dome."""
    chest = tissue.chest
    y = chest.apex + (chest.dome(side) - chest.apex) * place.uniform(high, low)
    heart = 0.22 if side == RIGHT else 0.24 + 0.6 * max(0.0, chest.heart_left - 0.2) * (y > -0.1)
    return side * (heart + place.uniform(0.2, 0.8) * (chest.wall(y, side) - heart)), y


def plates(tissue: Tissue, place: np.random.Generator, extent: float) -> Floats:
    """Atelectasis: a few plate-like lines above the raised dome, and airless lung at the base."""
    side, canvas, chest = affected_side(place), tissue.canvas, tissue.chest
    lines: list[Points] = []
    for _ in range(2 + round(2 * extent)):
        y = chest.dome(side) - place.uniform(0.04, 0.30)
        x0, x1 = place.uniform(0.2, 0.3), chest.wall(y, side) * place.uniform(0.75, 0.95)
        tilt = place.normal(0.0, 0.05)
        line = curve([(x0, y - tilt), (0.5 * (x0 + x1), y + 0.02), (x1, y + tilt)])
        taper = np.sin(np.linspace(0.3, math.pi - 0.2, len(line))) * place.uniform(0.025, 0.045)
        lines.append(ribbon(mirrored(line, side), taper))
    bands = blur(canvas, fill(canvas, *lines), 0.005)
    base = _blob(tissue, side * 0.28, chest.dome(side) - 0.02, 0.22, 0.10)
    depth = tissue.depth[side]
    return depth * (0.38 * bands + (0.35 + 0.25 * extent) * base * (1 - 0.6 * tissue.heart))


def fluid(tissue: Tissue, place: np.random.Generator, extent: float) -> Floats:
    """Effusion: fluid fills the angle and climbs the wall in a meniscus; often on both sides."""
    first = affected_side(place)
    both = place.random() < 0.35
    total = np.zeros_like(tissue.total)
    for side in (first, -first) if both else (first,):
        share = extent if side == first else 0.45 * extent
        chest = tissue.chest
        level = chest.dome(side) + 0.45 * chest.recess - 0.06 - 0.42 * share
        out = np.clip((side * tissue.x - 0.10) / (chest.width - 0.05), 0, 1.1)
        surface = np.float64(level) + 0.07 - (0.20 + 0.10 * share) * out**3
        wet = step(tissue.y - surface, 0.025 + 0.03 * share) * tissue.lungs[side]
        # Above the fluid the squeezed lung is hazy.
        hazy = step(tissue.y - surface + 0.16, 0.12) * tissue.depth[side]
        # Where the heart already fills the beam there is less room for fluid.
        room = 1 - 0.75 * tissue.heart
        total += room * wet * (0.92 * LUNG_AIR * tissue.depth[side] + 0.25)
        total += 0.10 * hazy * (1 - wet)
    return total


def spots(tissue: Tissue, place: np.random.Generator, extent: float) -> Floats:
    """Nodule: one to three round opacities under 3 cm (0.14 units) across."""
    total = np.zeros_like(tissue.total)
    for _ in range(int(place.choice([1, 2, 3], p=[0.5, 0.3, 0.2]))):
        x, y = _site(tissue, place, affected_side(place), 0.2, 0.9)
        radius = place.uniform(0.042, 0.055) + 0.012 * extent
        round_ = fill(tissue.canvas, ellipse(x, y, radius, radius * place.uniform(0.88, 1.1), 0.5))
        total += blur(tissue.canvas, round_, 0.006) * place.uniform(0.42, 0.6)
    return total


def lump(tissue: Tissue, place: np.random.Generator, extent: float) -> Floats:
    """Mass: one lobulated opacity of more than 3 cm (0.14 units) across."""
    x, y = _site(tissue, place, affected_side(place), 0.25, 0.8)
    radius = place.uniform(0.10, 0.13) + 0.05 * extent
    mask = fill(tissue.canvas, _lobed(place, x, y, radius, 0.2))
    body = np.sqrt(np.minimum(inside(tissue.canvas, mask) / np.float64(0.7 * radius), 1))
    return blur(tissue.canvas, 0.35 * mask + 0.45 * body, 0.010)


def batwing(tissue: Tissue, place: np.random.Generator, extent: float) -> Floats:
    """Edema: haze around both hila, full upper vessels, short level lines at the outer bases."""
    canvas, chest = tissue.canvas, tissue.chest
    total = np.zeros_like(tissue.total)
    grain = 1 + 0.22 * cloud(canvas, place, 0.12)
    lines: list[Points] = []
    for side in (RIGHT, LEFT):
        x, y = anatomy.hilum(chest, side)
        wing = _blob(tissue, x + side * 0.10, y + 0.10, 0.17 + 0.04 * extent, 0.27 + 0.06 * extent)
        total += tissue.depth[side] * wing * grain * (0.42 + 0.28 * extent)
        upper = step(np.float64(y) - tissue.y, 0.1)
        total += 0.8 * tissue.vessels[side] * upper + 0.10 * tissue.depth[side]
        for k in range(5):
            height = chest.angle(side) - 0.10 - 0.055 * k
            wall = chest.wall(height, side)
            lines.append(mirrored(np.array([(wall - 0.09, height + 0.01), (wall, height)]), side))
    kerley = strokes(canvas, lines, 0.008) * (tissue.lungs[RIGHT] + tissue.lungs[LEFT])
    return total + 0.18 * blur(canvas, kerley, 0.003)


def patches(tissue: Tissue, place: np.random.Generator, extent: float) -> Floats:
    """Infiltration: ill-defined patches and strands spread over both lungs, one worse."""
    worse = affected_side(place)
    texture = step(cloud(tissue.canvas, place, 0.17, octaves=3) - 0.15, 0.7)
    strands = np.abs(cloud(tissue.canvas, place, 0.07, octaves=2)) < 0.16
    fine = blur(tissue.canvas, strands.astype(np.float64), 0.004)
    middle = 0.5 * (tissue.chest.apex + tissue.chest.dome(worse)) + 0.08
    spread = _blob(tissue, 0.0, middle, 0.6, 0.42)
    total = np.zeros_like(tissue.total)
    for side in (RIGHT, LEFT):
        share = (1.0 + 0.4 * extent) if side == worse else (0.65 + 0.4 * extent)
        total += tissue.depth[side] * spread * share * (0.52 * texture + 0.14 * fine)
    return total


def solid_lobe(tissue: Tissue, place: np.random.Generator, extent: float) -> Floats:
    """Consolidation: one lobe is dense and sharply bounded by its fissure, its air tubes dark."""
    side, canvas, chest = affected_side(place), tissue.canvas, tissue.chest
    upper = place.random() < 0.45
    long = chest.dome(side) - chest.apex
    fissure = chest.apex + long * (0.46 if upper else 0.50)
    slope = 0.05 if upper else -0.16
    fissure_y = np.asarray(fissure + slope * (np.abs(tissue.x) - 0.35), dtype=np.float64)
    reach = (0.26 + 0.12 * extent) * long
    if upper:
        lobe = step(fissure_y - tissue.y, 0.012) * step(tissue.y - fissure_y + reach * 1.35, 0.12)
    else:
        lobe = step(tissue.y - fissure_y, 0.09) * step(fissure_y + reach * 1.8 - tissue.y, 0.12)
    grain = 0.85 + 0.2 * np.clip(cloud(canvas, place, 0.15), -1.5, 1.5)
    x, y = anatomy.hilum(chest, side)
    tubes: list[Points] = []
    aim = -0.8 if upper else 0.75
    for turn in (-0.5, -0.15, 0.2, 0.5):
        angle = aim + turn + place.normal(0, 0.14)
        far = place.uniform(0.3, 0.42)
        end = (x + side * far * math.cos(angle), y + far * math.sin(angle))
        bow = (0.5 * (x + end[0]), 0.5 * (y + end[1]) + 0.02)
        line = curve([(x, y), bow, end])
        tubes.append(ribbon(line, np.linspace(0.026, 0.006, len(line))))
    bronchi = blur(canvas, fill(canvas, *tubes), 0.004)
    return tissue.depth[side] * lobe * (grain * (0.62 + 0.15 * extent) - 0.24 * bronchi)


def focal_patch(tissue: Tissue, place: np.random.Generator, extent: float) -> Floats:
    """Pneumonia: fluffy confluent patches in the middle or lower zone of one lung."""
    side = affected_side(place)
    x, y = _site(tissue, place, side, 0.62, 0.85)
    spot = np.zeros_like(tissue.total)
    for _ in range(5):
        dx, dy = place.normal(0, 0.08, 2)
        size = place.uniform(0.06, 0.10) * (0.9 + 0.4 * extent)
        spot += _blob(tissue, x + dx, y + dy, 1.2 * size, size)
    fluffy = np.clip(spot * (1 + 0.35 * cloud(tissue.canvas, place, 0.09)), 0, 1.3)
    return np.asarray(tissue.depth[side] * fluffy * (0.40 + 0.15 * extent), dtype=np.float64)


def reticulation(tissue: Tissue, place: np.random.Generator, extent: float) -> Floats:
    """Fibrosis: a net of lines at the bases and along the wall; a shaggy heart border."""
    canvas, chest = tissue.canvas, tissue.chest
    both = tissue.lungs[RIGHT] + tissue.lungs[LEFT]
    out = np.asarray(np.abs(tissue.x) - 0.42 * chest.width, dtype=np.float64)
    wide = step(out, 0.22)
    low = step(tissue.y - np.float64(0.05 - 0.15 * extent), 0.22)
    edge = blur(canvas, tissue.heart, 0.05) * (1 - tissue.heart)
    where = np.clip(0.25 * wide + low * (0.35 + 0.65 * wide) + edge, 0, 1) * both
    # The zero lines of two noises cross each other: a net with meshes of about a centimetre.
    net = np.zeros_like(tissue.total)
    for cell in (0.075, 0.05):
        net = np.maximum(net, np.exp(-((cloud(canvas, place, cell, 1) / np.float64(0.22)) ** 2)))
    net = blur(canvas, net, 0.003)
    haze = 0.08 * extent + 0.02
    return np.asarray(where * ((0.30 + 0.14 * extent) * net + haze), dtype=np.float64)


def gas_pouch(tissue: Tissue, place: np.random.Generator, extent: float) -> Floats:
    """Hernia: part of the stomach behind the heart, with a wall, and air over a fluid level."""
    canvas, chest = tissue.canvas, tissue.chest
    radius = place.uniform(0.14, 0.17) + 0.05 * extent
    x, y = place.uniform(-0.04, 0.12), min(chest.dome_right, chest.dome_left) - 0.55 * radius
    outline = _lobed(place, x, y, radius, 0.05) * np.array([1.1, 1.0]) - np.array([0.1 * x, 0.0])
    middle = outline.mean(0)
    outer = fill(canvas, outline)
    inner = fill(canvas, middle + (outline - middle) * (1 - 0.02 / radius))
    level = step(tissue.y - np.float64(y + place.uniform(0.0, 0.3) * radius), 0.01)
    # Beside the heart the pouch is seen against the lung, so it needs a body of its own.
    pouch = 0.25 * (outer - inner) + inner * (0.34 * level - 0.50 * (1 - level))
    return blur(canvas, pouch + 0.28 * outer * (1 - 0.6 * tissue.heart), 0.007)


def rind(tissue: Tissue, place: np.random.Generator, extent: float) -> Floats:
    """Pleural_Thickening: a dense rind along the wall of a lung, with or without an apical cap."""
    first = affected_side(place)
    sides = (first, -first) if place.random() < 0.3 else (first,)
    total = np.zeros_like(tissue.total)
    lump_size = np.clip(1 + 0.3 * cloud(tissue.canvas, place, 0.2), 0.4, 1.8)
    capped = place.random() < 0.5
    for side in sides:
        chest = tissue.chest
        outer = step(side * tissue.x - 0.55 * chest.width, 0.10)
        apex = step(np.float64(chest.apex + 0.20) - tissue.y, 0.08) * (1.0 if capped else 0.3)
        along = np.maximum(outer * step(tissue.y - np.float64(chest.apex + 0.2), 0.15), apex)
        deep = (0.055 + 0.045 * extent) * lump_size
        layer = step(deep - inside(tissue.canvas, tissue.lungs[side]), 0.014) * tissue.lungs[side]
        total += layer * along * (0.45 + 0.55 * tissue.depth[side])
    return (0.55 + 0.15 * extent) * total


def free_air(tissue: Tissue, place: np.random.Generator, extent: float) -> Floats:
    """Pneumothorax: the lung has come off the wall; outside its fine white edge is only air."""
    side, canvas, chest = affected_side(place), tissue.canvas, tissue.chest
    x, y = anatomy.hilum(chest, side)
    outline = anatomy.lung_outline(chest, side)
    shrink = 0.80 - 0.40 * extent
    center = np.array([x - side * 0.04, y + 0.20])
    pull = np.array([shrink, 0.5 + 0.5 * shrink])
    edge = center + (outline - center) * pull
    lung, field = fill(canvas, edge), tissue.lungs[side]
    empty = blur(canvas, np.maximum(field - lung, 0), 0.004) * field
    rim = blur(canvas, fill(canvas, ribbon(edge, 0.011)), 0.003) * field
    free = tissue.depth[side] * empty * 0.16 + tissue.vessels[side] * empty
    denser = (0.06 + 0.30 * extent**2) * blur(canvas, lung, 0.02) * tissue.depth[side]
    return np.asarray(0.17 * rim - free + denser * (1 - empty), dtype=np.float64)


OVERLAYS: dict[str, Overlay] = {
    "Atelectasis": plates,
    "Consolidation": solid_lobe,
    "Edema": batwing,
    "Effusion": fluid,
    "Fibrosis": reticulation,
    "Hernia": gas_pouch,
    "Infiltration": patches,
    "Mass": lump,
    "Nodule": spots,
    "Pleural_Thickening": rind,
    "Pneumonia": focal_patch,
    "Pneumothorax": free_air,
}
