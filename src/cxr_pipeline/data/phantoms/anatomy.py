"""Shape of a chest: the numbers that make one patient, and the outlines that follow from them.

All lengths are chest units (see `phantom_canvas`); 1 unit is about 21 cm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cxr_pipeline.data.phantoms.canvas import LEFT, RIGHT, Points, curve

# Half width of the rib cage as a share of `width`, at shares of the way from the apex to the angle.
_WALL_DOWN = (0.0, 0.018, 0.08, 0.2, 0.38, 0.62, 0.82, 1.0)
_WALL_OUT = (0.44, 0.58, 0.71, 0.85, 0.95, 1.0, 1.02, 1.02)


@dataclass(frozen=True)
class Chest:
    """One chest in one position. Findings and views change it with `dataclasses.replace`."""

    width: float  # half width of the rib cage
    flare: float  # how far its base widens
    apex: float  # y of the lung tops
    dome_right: float  # y of the top of each diaphragm dome
    dome_left: float
    recess: float  # depth of the costophrenic angles below the domes
    heart_right: float  # reach of the heart from the midline
    heart_left: float
    heart_low: float  # y of the heart's widest place
    knob: float  # radius of the aortic knob
    shift: float  # sideways shift of heart and mediastinum
    build: float  # 0 slim .. 1 stout
    shoulder: float  # y of the shoulder tops
    arm_out: float  # how far the arms are held away
    scapula_in: float  # how far the scapulae lie over the lungs
    clavicle: float  # y of the inner clavicle ends
    rib_gap: float
    rib_drop: float
    breast: float  # 0 none .. 1 large
    bone: float  # bone density, about 1
    air: float  # how much the lungs take away, about 1
    vessels: float  # how strongly the vessels show, about 1
    bubble: float  # size of the gas bubble in the stomach, 0 for none
    chin: float = 0.0  # how far the chin hangs into the film, 0 for not at all

    def cardiothoracic_ratio(self) -> float:
        """Width of the heart over the inner width of the chest."""
        return (self.heart_left + self.heart_right) / (2 * self.width)

    def dome(self, side: int) -> float:
        """Y of the top of the diaphragm on `side`."""
        return self.dome_right if side == RIGHT else self.dome_left

    def angle(self, side: int) -> float:
        """Y of the costophrenic angle on `side`."""
        return self.dome(side) + self.recess

    def wall(self, y: float, side: int) -> float:
        """Half width of the rib cage at `y`."""
        down = (y - self.apex) / (self.angle(side) - self.apex)
        return self.width * float(np.interp(down, _WALL_DOWN, _WALL_OUT)) + self.flare * max(
            0.0, down - 0.55
        )


def patient_chest(rng: np.random.Generator, gender: str, age: float) -> Chest:
    """The patient's healthy chest, upright and breathed in (a PA view)."""
    female = gender == "F"
    width = rng.normal(0.63 if female else 0.68, 0.038)
    build = float(np.clip(rng.beta(2, 2.6) + 0.002 * (age - 50), 0, 1))
    # 0.40..0.485: a healthy heart takes up less than half of the chest.
    ratio = float(
        np.clip(rng.normal(0.45, 0.022) + 0.0006 * (age - 50) + 0.02 * (build - 0.5), 0.39, 0.485)
    )
    right_share = rng.uniform(0.31, 0.39)
    dome = rng.normal(0.42, 0.045) - 0.05 * build
    return Chest(
        width=width,
        flare=rng.uniform(0.02, 0.2),
        apex=rng.normal(-0.70, 0.035),
        dome_right=dome,
        dome_left=dome + rng.uniform(0.02, 0.07),
        recess=rng.uniform(0.14, 0.22),
        heart_right=2 * width * ratio * right_share,
        heart_left=2 * width * ratio * (1 - right_share),
        heart_low=dome - rng.uniform(0.06, 0.14),
        knob=float(np.clip(0.075 + 0.0009 * (age - 50) + rng.normal(0, 0.008), 0.055, 0.12)),
        shift=0.0,
        build=build,
        shoulder=rng.normal(-0.76, 0.04),
        arm_out=rng.uniform(0.0, 0.3),
        scapula_in=rng.uniform(-0.1, -0.03),
        clavicle=rng.normal(-0.5, 0.03),
        rib_gap=rng.normal(0.13, 0.007),
        rib_drop=rng.normal(0.27, 0.04),
        breast=rng.uniform(0.35, 1.0) if female else 0.0,
        bone=float(np.clip(rng.normal(0.95, 0.16) - 0.004 * max(0, age - 60), 0.6, 1.25)),
        air=rng.normal(1.0, 0.03),
        vessels=rng.normal(1.0, 0.12),
        bubble=rng.uniform(0.05, 0.13) if rng.random() < 0.7 else 0.0,
    )


def breathe(chest: Chest, breath: float) -> Chest:
    """The chest breathed in by `breath` (0 deep, 1 shallow): domes rise, the heart lies flatter."""
    rise = 0.10 * breath
    return replace(
        chest,
        dome_right=chest.dome_right - rise,
        dome_left=chest.dome_left - rise,
        heart_low=chest.heart_low - 0.8 * rise,
        heart_left=chest.heart_left * (1 + 0.05 * breath),
        heart_right=chest.heart_right * (1 + 0.05 * breath),
        vessels=chest.vessels * (1 + 0.15 * breath),
    )


def as_ap(chest: Chest, rng: np.random.Generator) -> Chest:
    """The same chest from the front, in bed: a larger heart, scapulae over the lungs."""
    heart = rng.uniform(1.06, 1.11)
    rise = rng.uniform(0.05, 0.10)
    return replace(
        chest,
        heart_right=chest.heart_right * heart,
        heart_left=chest.heart_left * heart,
        heart_low=chest.heart_low - rise,
        dome_right=chest.dome_right - rise,
        dome_left=chest.dome_left - rise,
        scapula_in=rng.uniform(0.1, 0.2),
        clavicle=chest.clavicle - rng.uniform(0.08, 0.14),
        rib_drop=chest.rib_drop * 0.85,
        arm_out=rng.uniform(-0.1, 0.08),
        shoulder=chest.shoulder - 0.02,
        knob=chest.knob * 1.1,
        bubble=chest.bubble * 0.5,
        chin=rng.uniform(0.04, 0.16) if rng.random() < 0.35 else 0.0,
    )


def mirrored(points: Points, side: int) -> Points:
    """`points` drawn for the patient's left, on `side`."""
    across: Points = points * np.array([side, 1.0])
    return across


def wall_line(chest: Chest, side: int, out: float = 0.0) -> Points:
    """The inner chest wall from the lung top to the costophrenic angle, moved outward by `out`."""
    top, bottom = chest.apex, chest.angle(side)
    heights = [top + (bottom - top) * down for down in _WALL_DOWN]
    return mirrored(curve([(chest.wall(y, side) + out, y) for y in heights]), side)


def dome_line(chest: Chest, side: int) -> Points:
    """The diaphragm from the costophrenic angle to the midline."""
    top, low = chest.dome(side), chest.angle(side)
    out = chest.wall(low, side)
    line = curve(
        [
            (out, low),
            (0.86 * out, top + 0.42 * chest.recess),
            (0.66 * out, top + 0.08 * chest.recess),
            (0.48 * out, top),
            (0.28 * out, top + 0.10 * chest.recess),
            (0.05, top + 0.28 * chest.recess),
        ]
    )
    return mirrored(line, side)


def lung_outline(chest: Chest, side: int) -> Points:
    """The lung field of `side`, as if there were no heart: wall, diaphragm, inner edge."""
    top, w = chest.apex, chest.width
    inner = curve(
        [
            (0.075, chest.dome(side) + 0.25 * chest.recess),
            (0.075, 0.0),
            (0.10, top + 0.34),
            (0.125, top + 0.17),
            (0.14 * w + 0.06, top + 0.075),
            (0.26 * w + 0.03, top + 0.022),
        ]
    )
    return np.concatenate([wall_line(chest, side), dome_line(chest, side), mirrored(inner, side)])


def heart_outline(chest: Chest) -> Points:
    """Heart and great vessels as one shadow; the knob is drawn apart."""
    r, left, low, s = chest.heart_right, chest.heart_left, chest.heart_low, chest.shift
    base = max(chest.dome_right, chest.dome_left) + 0.10
    top = chest.apex - 0.05
    hang = low - (-0.28)  # from the great vessels down to the widest place
    return curve(
        [
            (-0.09, top - 0.5),
            (-0.09, top),
            (-0.115 + 0.3 * s, top + 0.25),
            (-0.125 + 0.6 * s, -0.30),
            (-0.13 + s, -0.28 + 0.30 * hang),
            (-0.93 * r + s, low - 0.32 * hang),
            (-r + s, low - 0.02),
            (-0.80 * r + s, base - 0.03),
            (0.10 + s, base),
            (0.68 * left + s, base + 0.01),
            (0.93 * left + s, low + 0.12),
            (0.99 * left + s, low + 0.01),
            (0.93 * left + s, low - 0.1),
            (0.75 * left + s, low - 0.38 * hang),
            (0.17 + 0.12 * left + s, -0.28 + 0.30 * hang),
            (0.15 + s, -0.24),
            (0.125 + 0.6 * s, -0.36),
            (0.11 + 0.3 * s, top + 0.25),
            (0.09, top),
            (0.09, top - 0.5),
        ],
        closed=True,
    )


def knob_place(chest: Chest) -> tuple[float, float]:
    """Middle of the aortic knob."""
    return 0.105 + 0.6 * chest.shift - 0.3 * (chest.knob - 0.08), chest.apex + 0.33


def hilum(chest: Chest, side: int) -> tuple[float, float]:
    """Root of the lung vessels; the left one lies a little higher."""
    return side * 0.20 + 0.8 * chest.shift, chest.apex + (0.66 if side == RIGHT else 0.61)


def body_outlines(chest: Chest) -> tuple[Points, ...]:
    """Trunk with neck and shoulders, and the two upper arms."""
    b, w, top = chest.build, chest.width, chest.shoulder
    neck, flank = 0.20 + 0.05 * b, w + 0.10 + 0.22 * b
    half = curve(
        [
            (neck, -1.6),
            (neck, min(-1.05, top - 0.36)),
            (neck + 0.10, top - 0.13 - 0.03 * b),
            (0.58, top - 0.05 - 0.02 * b),
            (0.92, top + 0.01),
            (1.08 + 0.1 * b, top + 0.2),
            (flank + 0.24, -0.12),
            (flank + 0.05, 0.16),
            (flank + 0.01, 0.5),
            (flank + 0.04 + 0.06 * b, 0.9),
            (flank + 0.1 * b, 1.8),
        ]
    )
    arms = tuple(
        mirrored(
            curve(
                [
                    (0.86, top + 0.03),
                    (1.05, top + 0.08),
                    (1.16 + 0.3 * chest.arm_out + 0.1 * b, top + 0.38),
                    (1.16 + 1.1 * chest.arm_out + 0.12 * b, 0.4),
                    (1.16 + 1.5 * chest.arm_out + 0.12 * b, 1.2),
                    (0.94 + 1.5 * chest.arm_out + 0.04 * b, 1.2),
                    (0.93 + 1.1 * chest.arm_out + 0.06 * b, 0.4),
                    (0.88 + 0.4 * chest.arm_out, -0.1),
                    (0.80, top + 0.3),
                ],
                closed=True,
            ),
            side,
        )
        for side in (RIGHT, LEFT)
    )
    trunk = np.concatenate([mirrored(half, LEFT), mirrored(half, RIGHT)[::-1]])
    return (trunk, *arms)


def abdomen_outline(chest: Chest) -> Points:
    """Everything below the two domes, well beyond the film's lower edge."""
    right, left = dome_line(chest, RIGHT), dome_line(chest, LEFT)[::-1]
    far = 1.6
    low_left, low_right = chest.angle(LEFT), chest.angle(RIGHT)
    ends = np.array([(far, low_left + 0.1), (far, 2.0), (-far, 2.0), (-far, low_right + 0.1)])
    return np.concatenate([right, left, ends])
