"""Drawing tools of the chest phantoms: where the chest falls on the film, and soft shapes.

Chest units: the film spans -1..1 in x (to the patient's left) and in y (down); 0 is its middle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

# Double precision, so that every processor rounds to the same grey levels.
Floats: TypeAlias = npt.NDArray[np.float64]
Points: TypeAlias = npt.NDArray[np.float64]

RIGHT, LEFT = (
    -1,
    1,
)  # the patient's sides, as the sign of x: the patient's right is on the film's left
_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Canvas:
    """A square film and the patient's pose on it."""

    side: int  # pixels
    affine: Points  # (2, 3), chest units -> pixels
    warp: Points  # (waves, 6): amplitude x, amplitude y, frequency x, frequency y, two phases

    def to_pixels(self, points: Points) -> Points:
        """Pixel positions (n, 2) of chest points (n, 2), bent by the patient's own asymmetry."""
        ax, ay, fx, fy, px, py = self.warp.T[:, :, None]
        angle = fx * points[:, 0] + fy * points[:, 1]
        bend = np.stack(
            [(ax * np.sin(angle + px)).sum(0), (ay * np.sin(angle + py)).sum(0)], axis=1
        )
        pixels: Points = (points + bend) @ self.affine[:, :2].T + self.affine[:, 2]
        return pixels

    def pixels_per_unit(self) -> float:
        """How many pixels one chest unit covers."""
        return math.sqrt(abs(float(np.linalg.det(self.affine[:, :2]))))

    def grid(self) -> tuple[Floats, Floats]:
        """Chest x and y of every pixel, each (side, side); leaves the small warp out."""
        inverse = np.linalg.inv(self.affine[:, :2])
        steps = np.arange(self.side, dtype=np.float64)
        dx, dy = steps - self.affine[0, 2], (steps - self.affine[1, 2])[:, None]
        x = inverse[0, 0] * dx + inverse[0, 1] * dy
        y = inverse[1, 0] * dx + inverse[1, 1] * dy
        return x.astype(np.float64), y.astype(np.float64)


def make_canvas(
    side: int, shift: tuple[float, float], turn: float, scale: float, rng: np.random.Generator
) -> Canvas:
    """A film of `side` pixels, the patient moved by `shift`, turned by `turn` radians, scaled.

    `rng` is the patient's: it draws the bends that keep the two halves from being mirror images.
    """
    half = side / 2
    cos, sin = math.cos(turn) * scale * half, math.sin(turn) * scale * half
    affine = np.array([[cos, -sin, half * (1 + shift[0])], [sin, cos, half * (1 + shift[1])]])
    waves = 4
    warp = np.column_stack(
        [
            rng.normal(0, 0.008, (waves, 2)),
            rng.normal(0, 2.4, (waves, 2)),
            rng.uniform(0, 2 * math.pi, (waves, 2)),
        ]
    )
    return Canvas(side, affine, warp)


def curve(points: Sequence[tuple[float, float]], closed: bool = False, steps: int = 10) -> Points:
    """A smooth (Catmull-Rom) line through `points`: (n, 2)."""
    knots = np.asarray(points, dtype=np.float64)
    if closed:
        knots = np.concatenate([knots[-1:], knots, knots[:2]])
    else:
        knots = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    before, here, there, after = (knots[k : len(knots) - 3 + k, None, :] for k in range(4))
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    line = 0.5 * (
        2 * here
        + (there - before) * t
        + (2 * before - 5 * here + 4 * there - after) * t**2
        + (3 * here - before - 3 * there + after) * t**3
    )
    flat: Points = line.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, knots[-2:-1]])


def ellipse(cx: float, cy: float, rx: float, ry: float, turn: float = 0.0) -> Points:
    """The outline of an ellipse turned by `turn` radians: (40, 2)."""
    angle = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    x, y = rx * np.cos(angle), ry * np.sin(angle)
    cos, sin = math.cos(turn), math.sin(turn)
    return np.stack([cx + cos * x - sin * y, cy + sin * x + cos * y], axis=1)


def ribbon(line: Points, width: float | Points) -> Points:
    """The outline of a band of `width` (one number, or one a point) along `line`: (2n, 2)."""
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    half = np.broadcast_to(np.asarray(width) / 2, (len(line),))[:, None]
    return np.concatenate([line + normal * half, (line - normal * half)[::-1]])


def fill(canvas: Canvas, *outlines: Points) -> Floats:
    """The union of the filled `outlines`, anti-aliased: (side, side), 0..1."""
    mask = np.zeros((canvas.side, canvas.side), np.uint8)
    for outline in outlines:
        corners = np.round(canvas.to_pixels(outline) * 2**_SUBPIXEL_BITS).astype(np.int32)
        cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    return mask.astype(np.float64) / np.float64(255)


def strokes(canvas: Canvas, lines: Sequence[Points], width: float, weight: float = 1.0) -> Floats:
    """Thin lines, `width` rounded to whole pixels: (side, side), 0..`weight`."""
    mask = np.zeros((canvas.side, canvas.side), np.uint8)
    thickness = max(1, round(width * canvas.pixels_per_unit()))
    for line in lines:
        corners = np.round(canvas.to_pixels(line) * 2**_SUBPIXEL_BITS).astype(np.int32)
        cv2.polylines(mask, [corners], False, 255, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
    return mask.astype(np.float64) * np.float64(weight / 255)


def blur(canvas: Canvas, image: Floats, sigma: float) -> Floats:
    """Gaussian blur by `sigma` chest units; wide ones on a smaller copy, which looks the same."""
    pixels = sigma * canvas.pixels_per_unit()
    if pixels < 0.3:
        return image
    shrink = 2 ** max(0, int(math.log2(pixels / 2.5))) if pixels > 2.5 else 1
    side = max(8, canvas.side // shrink)
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) if shrink > 1 else image
    soft = cv2.GaussianBlur(small, (0, 0), pixels * side / canvas.side)
    if shrink > 1:
        soft = cv2.resize(soft, (canvas.side, canvas.side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(soft, dtype=np.float64)


def inside(canvas: Canvas, mask: Floats) -> Floats:
    """Distance of every pixel in `mask` to its edge, in chest units; 0 outside."""
    binary = (mask > 0.5).astype(np.uint8)
    distance = cv2.distanceTransform(binary, cv2.DIST_L2, 5)
    return np.asarray(distance / canvas.pixels_per_unit(), dtype=np.float64)


def thickness(distance: Floats, full: float) -> Floats:
    """Path through a round-edged body, 0..1: a quarter circle up to `full` units, then flat."""
    rest = 1 - np.minimum(distance / np.float64(full), 1)
    return np.asarray(np.sqrt(1 - rest * rest), dtype=np.float64)


def step(values: Floats, soft: float) -> Floats:
    """A soft step: 0 well below zero, 1 well above, `soft` units wide."""
    return np.asarray(0.5 + 0.5 * np.tanh(values / np.float64(soft)), dtype=np.float64)


def cloud(canvas: Canvas, rng: np.random.Generator, cell: float, octaves: int = 2) -> Floats:
    """Smooth random texture, mean 0, with blobs of `cell` chest units: (side, side)."""
    total = np.zeros((canvas.side, canvas.side), np.float64)
    for octave in range(octaves):
        cells = max(3, round(2 / cell * 2**octave))
        coarse = rng.standard_normal((cells, cells), dtype=np.float64)
        total += (
            cv2.resize(coarse, (canvas.side, canvas.side), interpolation=cv2.INTER_CUBIC)
            / 2**octave
        )
    return total
