"""The bones of the phantoms: ribs, clavicles, shoulder blades, arms and spine."""

from __future__ import annotations

import math

import numpy as np

from cxr_pipeline.data.phantoms import anatomy
from cxr_pipeline.data.phantoms.anatomy import Chest, mirrored
from cxr_pipeline.data.phantoms.canvas import (
    LEFT,
    RIGHT,
    Canvas,
    Floats,
    Points,
    blur,
    curve,
    ellipse,
    fill,
    ribbon,
)


def _hollow(canvas: Canvas, bands: list[tuple[Points, Points]], body: float, rim: float) -> Floats:
    """Bones from their outer and inner outlines: marrow of weight `body`, and a denser shell."""
    outer = fill(canvas, *(band[0] for band in bands))
    inner = fill(canvas, *(band[1] for band in bands))
    return blur(canvas, body * outer + rim * np.maximum(outer - inner, 0), 0.004)


def draw_bones(canvas: Canvas, chest: Chest) -> Floats:
    """Ribs, clavicles, scapulae and the heads of the upper arms."""
    back: list[tuple[Points, Points]] = []
    front: list[tuple[Points, Points]] = []
    for side in (RIGHT, LEFT):
        for number in range(11):
            rear, fore = (mirrored(line, side) for line in _rib(chest, number))
            taper = np.linspace(0.046, 0.039, len(rear))
            back.append((ribbon(rear, taper), ribbon(rear, taper * 0.55)))
            taper = np.linspace(0.052, 0.036, len(fore))
            front.append((ribbon(fore, taper), ribbon(fore, taper * 0.55)))
    ribs = _hollow(canvas, back, 0.10, 0.07) + _hollow(canvas, front, 0.06, 0.05)
    limbs: list[tuple[Points, Points]] = []
    blades: list[tuple[Points, Points]] = []
    wall = np.zeros_like(ribs)
    for side in (RIGHT, LEFT):
        line = mirrored(_clavicle(chest), side)
        wide = np.interp(np.linspace(0, 1, len(line)), [0, 0.2, 0.6, 1], [0.085, 0.055, 0.05, 0.06])
        limbs.append((ribbon(line, wide), ribbon(line, wide * 0.6)))
        hx, hy = chest.width + 0.32 - 0.3 * chest.scapula_in, chest.shoulder + 0.17
        ax = hx + 0.12 + 0.6 * max(0.0, chest.arm_out)
        shaft = curve([(hx + 0.02, hy), (0.5 * (hx + ax) + 0.05, hy + 0.3), (ax, hy + 1.4)])
        blade = mirrored(_scapula(chest), side)
        limbs.append((ellipse(side * hx, hy, 0.105, 0.11), ellipse(side * hx, hy, 0.085, 0.09)))
        limbs.append((ribbon(mirrored(shaft, side), 0.12), ribbon(mirrored(shaft, side), 0.075)))
        blades.append((blade, blade.mean(0) + (blade - blade.mean(0)) * 0.9))
        # The beam meets the side of the cage edge-on: a bright line just outside the lung.
        edge = ribbon(anatomy.wall_line(chest, side, 0.022), 0.05)
        wall += blur(canvas, fill(canvas, edge), 0.01)
    bones = ribs + 0.15 * wall + _hollow(canvas, limbs, 0.13, 0.11)
    return np.asarray((bones + _hollow(canvas, blades, 0.07, 0.10)) * chest.bone, np.float64)


def _rib(chest: Chest, number: int) -> tuple[Points, Points]:
    """Middle lines of one rib's rear part (spine to wall) and front part (wall to cartilage)."""
    y0 = chest.apex + chest.rib_gap * (number - 0.25)
    drop = chest.rib_drop * min(1.0, 0.5 + 0.2 * number)
    y1 = y0 + drop
    reach = chest.wall(y1, LEFT) + 0.015
    turn = np.linspace(0, math.pi / 2, 22)
    lift = 0.05 * np.sin(2 * turn)  # ribs leave the spine level or slightly upward
    rear = np.stack(
        [0.05 + (reach - 0.05) * np.sin(turn), y0 + drop * (1 - np.cos(turn)) - lift], 1
    )
    turn = np.linspace(0, math.pi * 0.44, 20)
    end, fall = 0.28 + 0.015 * number, 0.17 + 0.012 * number
    fore = np.stack([end + (reach - end) * np.cos(turn), y1 + fall * np.sin(turn)], 1)
    return rear, fore


def _clavicle(chest: Chest) -> Points:
    """Middle line of a clavicle, from the breastbone outward."""
    y, out = chest.clavicle, chest.width + 0.24 - 0.3 * chest.scapula_in
    top = chest.shoulder + 0.08
    return curve(
        [
            (0.09, y),
            (0.24, y - 0.045),
            (0.44, 0.55 * y + 0.45 * top),
            (0.78 * out, top - 0.01),
            (out, top + 0.02),
        ]
    )


def _scapula(chest: Chest) -> Points:
    """Outline of a shoulder blade."""
    x, y = chest.width + 0.05 - chest.scapula_in, chest.shoulder
    return curve(
        [
            (x + 0.0, y + 0.20),
            (x + 0.12, y + 0.15),
            (x + 0.26, y + 0.15),
            (x + 0.25, y + 0.26),
            (x + 0.17, y + 0.48),
            (x + 0.10, y + 0.74),
            (x + 0.05, y + 0.72),
            (x + 0.0, y + 0.46),
        ],
        closed=True,
    )


def draw_spine(canvas: Canvas, chest: Chest, y: Floats) -> Floats:
    """The column of vertebrae: boxes with bright end plates, larger downward, with dots."""
    boxes: list[tuple[Points, Points]] = []
    dots: list[Points] = []
    top = -1.15
    while top < 1.1:
        height = 0.082 + 0.022 * (top + 1.1)
        half = 0.062 + 0.016 * (top + 1.1)
        mid = top + height / 2
        boxes.append((_box(half, mid, 0.44 * height), _box(0.82 * half, mid, 0.33 * height)))
        dots.append(ellipse(0.0, mid + 0.02, 0.014, 0.024))
        dots += [ellipse(side * 0.62 * half, mid - 0.01, 0.012, 0.018) for side in (RIGHT, LEFT)]
        top += height
    column = fill(canvas, ribbon(curve([(0.0, -1.3), (0.0, 0.0), (0.0, 1.3)]), 0.15))
    bones = _hollow(canvas, boxes, 0.08, 0.07) + 0.06 * blur(canvas, fill(canvas, *dots), 0.005)
    # Behind the heart the column shows less: most of the beam is gone already.
    shown = np.interp(y, [-0.6, 0.0, 0.5], [1.0, 0.75, 0.6]).astype(np.float64)
    column = 0.10 * blur(canvas, column, 0.02)
    return np.asarray(chest.bone * shown * (bones + column), np.float64)


def _box(half: float, mid: float, tall: float) -> Points:
    """A vertebral body: a box with drawn-in sides."""
    return curve(
        [
            (-half, mid - tall),
            (0, mid - 0.92 * tall),
            (half, mid - tall),
            (0.88 * half, mid),
            (half, mid + tall),
            (0, mid + 0.92 * tall),
            (-half, mid + tall),
            (-0.88 * half, mid),
        ],
        closed=True,
        steps=4,
    )
