"""From attenuation to film: scatter, film curve, exposure, grain, collimation and side marker."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

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
    strokes,
)


def expose(
    canvas: Canvas, total: Floats, body: Floats, view: str, rng: np.random.Generator, size: int
) -> npt.NDArray[np.uint8]:
    """Expose a film: (side, side) attenuation -> (size, size) uint8.

    Args:
        canvas: where the attenuation was drawn, `side` pixels wide.
        total: attenuation, >= 0 but for rounding.
        body: 0..1, where the body is.
        view: "PA" or "AP"; AP films are flatter and foggier.
        rng: this image's generator.
        size: side of the film in pixels.
    """
    portable = view == "AP"
    dose = rng.normal(1.0, 0.06)
    # Scattered rays fog the film more, the more tissue there is around.
    fog = (0.22 if portable else 0.07) + rng.uniform(0, 0.06)
    if portable and rng.random() < 0.45:
        total = total + _leads(canvas, rng)
    clean = np.maximum(total, np.float64(0.02))
    beam = (1 - fog) * clean + fog * blur(canvas, clean, 0.35) * (0.3 + 0.7 * body)
    film = 1 - np.exp(-np.float64(dose) * beam)
    film = cv2.resize(film, (size, size), interpolation=cv2.INTER_AREA)
    gamma = rng.uniform(0.9, 1.3) * (0.9 if portable else 1.1)
    black = rng.uniform(0.0, 0.05) + (rng.uniform(0.04, 0.14) if portable else 0.0)
    white = rng.uniform(0.93, 1.0) - (rng.uniform(0.0, 0.08) if portable else 0.0)
    tone = black + (white - black) * np.power(
        np.clip(film / np.float64(0.93), 0, 1), np.float64(gamma)
    )
    tone = _marker(tone, rng)
    tone = _collimate(tone, black, rng)
    grain = rng.standard_normal((size, size), dtype=np.float64)
    # Grain is smoothed and weak: it makes the picture a film, and costs little in the PNG.
    grain = cv2.GaussianBlur(grain, (0, 0), 0.8) * np.float64(rng.uniform(0.002, 0.006))
    return np.clip(np.round((tone + grain) * 255), 0, 255).astype(np.uint8)


def _leads(canvas: Canvas, rng: np.random.Generator) -> Floats:
    """Monitor leads on the skin of a patient in bed: thin wires that end in a disc."""
    wires: list[Points] = []
    discs: list[Points] = []
    for side in (RIGHT, LEFT, LEFT)[: int(rng.integers(1, 4))]:
        x, y = side * rng.uniform(0.35, 0.8), rng.uniform(-0.55, 0.45)
        away = (side * rng.uniform(0.9, 1.2), y + rng.uniform(0.2, 0.9))
        bow = (0.5 * (x + away[0]) + rng.normal(0, 0.1), 0.5 * (y + away[1]) + rng.normal(0, 0.12))
        wires.append(curve([(x, y), bow, away]))
        discs.append(ellipse(x, y, 0.02, 0.02))
    drawn = 0.35 * strokes(canvas, wires, 0.008) + 0.9 * fill(canvas, *discs)
    return blur(canvas, drawn, 0.003)


def _marker(tone: Floats, rng: np.random.Generator) -> Floats:
    """A lead letter L in the corner over the patient's left shoulder, on most films."""
    if rng.random() > 0.7:
        return tone
    size = tone.shape[0]
    x, y = rng.uniform(0.87, 0.93) * size, rng.uniform(0.04, 0.1) * size
    tall = rng.uniform(0.035, 0.05) * size
    letter = np.array([(x, y), (x, y + tall), (x + 0.55 * tall, y + tall)])
    ink = np.zeros(tone.shape, np.uint8)
    corners = np.round(letter * 16).astype(np.int32)
    cv2.polylines(ink, [corners], False, 255, max(1, round(0.008 * size)), cv2.LINE_AA, 4)
    cover = ink.astype(np.float64) / 255 * np.float64(rng.uniform(0.6, 0.9))
    return np.asarray(tone * (1 - cover) + cover * 0.95, dtype=np.float64)


def _collimate(tone: Floats, black: float, rng: np.random.Generator) -> Floats:
    """On some films the shutters leave a dark border, a little askew."""
    if rng.random() > 0.35:
        return tone
    size = tone.shape[0]
    left, top, right, bottom = np.where(rng.random(4) < 0.5, rng.uniform(0.0, 0.045, 4), -0.05)
    skew = rng.normal(0, 0.006)
    corners = np.array(
        [
            (left, top + skew),
            (1 - right, top),
            (1 - right + skew, 1 - bottom),
            (left - skew, 1 - bottom),
        ]
    )
    window = np.zeros(tone.shape, np.uint8)
    cv2.fillPoly(window, [np.round(corners * size * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    seen = cv2.GaussianBlur(window.astype(np.float64) / 255, (0, 0), 0.7)
    return np.asarray(tone * seen + np.float64(0.6 * black) * (1 - seen), dtype=np.float64)
