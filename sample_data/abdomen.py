"""Model a portal venous CT of an abdomen, from the lung bases to the iliac crests, with the truth.

The patient is built from implicit surfaces, one organ over the other (see ``patient.py``). Grey
values are Hounsfield units; voxels at a border hold a share of both sides, as in a scanner.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from patient import SHAPE, SPACING, Array, Frame, Patient, meet
from scipy import ndimage

ORIGIN_LPS = (-190.5, -160.5, -1214.0)  # of the scanner's bed, as in a hospital's file
SEED = 7
VERTEBRAE = (-12, 22, 56, 90, 123, 155, 186, 214, 240, 265, 290, 315, 340)  # S1, L5 ... T6


def affine() -> Array:
    """Return the map from voxels to mm; the voxels run to the left, the back and the head."""
    left, back, head = ORIGIN_LPS
    matrix = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
    matrix[:3, 3] = -left, -back, head
    return matrix


def paint_walls(patient: Patient, frame: Frame) -> None:
    """Paint the table, the skin, the muscles of the wall and along the spine, all fat."""
    left, back, up = patient.l, patient.p, patient.s
    fine, coarse = patient.noise(3.0), patient.noise(9.0)
    across, depth, _ = patient.straight
    table = np.abs(depth - (138 - 26 * (across / 190) ** 2)) - 2.2
    patient.paint(np.maximum(table, np.abs(across) - 178), 60.0)
    patient.paint(frame.skin, -10.0)
    patient.paint(frame.skin + 2.5, -104 + 5 * fine + 6 * (coarse > 1.3))
    muscle = 58 + 7 * fine - 45 * np.clip(coarse - 1.1, 0, 1)
    wall = frame.skin + frame.fat
    linea_alba = 7 - np.abs(left) + 50 * (back > 0) + 50 * (up > 190)
    patient.paint(np.maximum(wall, np.minimum(linea_alba, 0) + wall), muscle)
    patient.paint(frame.cavity, -102 + 7 * fine + 9 * np.clip(coarse, 0, 2))
    for side in (-1, 1):
        erector = np.hypot((left - side * 32) / 33, (back - frame.spine - 37) / 21) - 1
        patient.paint(20 * np.maximum(erector, (wall + 1) / 20), muscle - 4)
        size = np.clip(7 + (190 - up) * 0.09, 2, 22)
        psoas = np.hypot(
            (left - side * (30 + 0.55 * size)) / size, (back - frame.spine) / (size + 3)
        )
        patient.paint(np.maximum(12 * (psoas - 1), up - 185), muscle)
        lumborum = np.hypot((left - side * 66) / 19, (back - frame.spine - 17) / 9) - 1
        patient.paint(np.maximum(9 * lumborum, up - 170), muscle)
        crus = np.hypot((left - side * 14) / 9, (back - frame.spine + 26) / 13) - 1
        patient.paint(np.maximum(9 * crus, 150 - up), muscle)
        gluteus = patient.tube([(side * 55, 84, -30), (side * 112, 50, 5), (side * 132, 5, 10)], 24)
        patient.paint(np.maximum(gluteus, wall), muscle)


def paint_chest(patient: Patient, frame: Frame) -> None:
    """Paint the lungs with their vessels, the diaphragm, the heart."""
    left, back, up = patient.l, patient.p, patient.s
    chest = np.maximum(frame.cavity, frame.diaphragm - up)
    patient.paint(np.maximum(frame.cavity, np.abs(up - frame.diaphragm + 1) - 2.5), 55.0)
    heart = patient.ellipsoid((24, -34, 306), (60, 48, 58), (0.1, 0, -0.5))
    middle = 13 + 16 * np.exp(-(((back - 26) / 30) ** 2)) + 2 * patient.noise(12.0)
    lungs = np.maximum(chest + 2, np.maximum(middle - np.abs(left), 5 - heart))
    air = -875 + 0.35 * (back + 90) + 18 * patient.noise(3.0)
    patient.paint(np.maximum(lungs, left), air, "lung_right")
    patient.paint(np.maximum(lungs, -left), air, "lung_left")
    vessels = np.full(SHAPE, 60.0)
    for side in (-1, 1):
        for _ in range(34):
            tip = patient.rng.uniform((40, -75, 205), (125, 75, 300))
            root = patient.rng.uniform((32, -5, 330), (50, 25, 360))
            middle = 0.5 * (tip + root) + patient.rng.uniform(-9, 9, 3)
            line = [(side * x, y, z) for x, y, z in (root, middle, tip)]
            vessels = np.minimum(vessels, patient.tube(line, (3.6, 2.2, 0.8)))
    patient.paint(np.maximum(vessels, lungs + 3), 20.0, None)
    patient.paint(np.maximum(heart, frame.diaphragm + 1 - up), 62.0, "heart")
    for centre, radii in (((46, -30, 302), (26, 22, 34)), ((-2, -48, 306), (24, 24, 36))):
        chamber = patient.ellipsoid(centre, radii, (0.1, 0, -0.5))
        patient.paint(np.maximum(chamber, heart + 7), 150 + 4 * patient.noise(6.0), None)


def paint_bones(patient: Patient, frame: Frame) -> None:
    """Paint the spine, the ribs and the iliac wings: dense outside, spongy inside."""
    left, up = patient.l, patient.s
    back = patient.p - frame.spine
    sponge = 175 + 45 * patient.noise(2.5)
    middles = np.asarray(VERTEBRAE, float)
    nearest = middles[np.abs(up[..., None] - middles).argmin(-1)]
    level = np.abs(up - nearest)  # of the middle of the nearest vertebra
    waist = 2.5 * np.cos(np.pi * np.clip(level / 15, 0, 1))
    column = np.hypot(left / 24, back / 18) * 20 - 20 + waist
    body = meet(column, level - 12.5, 2.0)
    patient.paint(np.maximum(column + 1, level - 18), 85.0)  # discs
    patient.paint(body, 360.0, "vertebrae")
    patient.paint(body + 2.5, sponge, None)
    canal = np.hypot(left / 11, (back - 27) / 9) * 9 - 9
    arch = np.maximum(canal - 5, level - 9)
    spinous = np.maximum(np.hypot(left / 3.5, (back - 42) / 13) * 4 - 4, level - 8)
    low = np.clip((200 - up) / 30, 0, 1)
    across = np.hypot((back - 24) / 5, level / 5) * 5 - 5
    transverse = np.maximum(across, np.abs(left) - 26 - 14 * low)
    for process in (arch, spinous, transverse):
        patient.paint(process, 330.0, "vertebrae")
    patient.paint(canal, 28.0)
    sacrum = meet(np.hypot(left / 54, (back - 12) / 24) * 24 - 24, up - 6, 4.0)
    patient.paint(sacrum, 360.0, "vertebrae")
    patient.paint(sacrum + 4, sponge - 40, None)

    middle = frame.skin + frame.fat + 0.62 * frame.wall
    turn = (1 - np.cos(frame.angle)) / 2
    for number, root in enumerate(middles[6:], 1):  # from the twelfth rib upward
        end = (1.15, 1.75, 2.4)[number - 1] if number < 4 else 2.75
        fall = np.where(frame.angle < 2.2, 1.0, 1 - 0.5 * (frame.angle - 2.2))
        height = root + 6 - 104 * turn * fall
        rib = np.hypot(middle / 3.6, (up - height) / 5.6) * 4 - 4
        rib = np.maximum(rib, 30 * np.maximum(frame.angle - end, 0.36 - frame.angle))
        bony = np.maximum(rib, 30 * (frame.angle - 2.35))
        patient.paint(rib, 105.0)  # cartilage in front
        patient.paint(bony, 430.0, "ribs")
        patient.paint(bony + 2.6, 190.0, None)
    for side in (-1, 1):
        wing = np.full(SHAPE, 60.0)
        for drop in range(0, 90, 6):
            line = [
                (side * x, y, 46 + z - drop)
                for x, y, z in (
                    (50, 66, -16),
                    (84, 48, 4),
                    (112, 14, 8),
                    (122 - 0.1 * drop, -26, -16),
                )
            ]
            wing = np.minimum(wing, patient.tube(line, (8, 4.5, 4.5, 7)))
        patient.paint(wing, 480.0, "hips")
        patient.paint(wing + 3.4, sponge + 20, None)


def paint_liver(patient: Patient, frame: Frame) -> None:
    """Paint the liver under the right dome of the diaphragm, its vessels, the gallbladder."""
    left, back, up = patient.l, patient.p, patient.s
    under = 130 + 0.54 * (left + 118) + 0.26 * back + 0.0008 * (left + 60) ** 2
    liver = meet(frame.cavity + 3, up - frame.diaphragm + 5, 5.0)
    liver = meet(liver, 0.8 * (under - up), 7.0)
    liver = meet(liver, 0.75 * (back - 12 + 0.95 * (left + 22)), 9.0)
    fissure = np.hypot((left - 8) / 5, (back + 88) / 26, dtype=float) * 5 - 5
    liver = np.maximum(liver, -np.maximum(fissure, up - 232))
    patient.paint(liver, 112 + 4 * patient.noise(5.0), "liver")
    portal = [
        [(4, -18, 152), (-16, -16, 178), (-34, -14, 196), (-62, -4, 206), (-98, 8, 204)],
        [(-34, -14, 196), (-14, -38, 212), (4, -58, 220)],
        [(-62, -4, 206), (-84, -34, 194), (-104, -46, 182)],
        [(-80, 2, 206), (-96, 20, 182), (-104, 26, 166)],
    ]
    hepatic = [
        [(-26, 2, 246), (-62, 6, 240), (-106, 14, 228)],
        [(-26, 0, 246), (-52, -32, 236), (-78, -66, 214)],
        [(-22, -2, 246), (-4, -36, 238), (16, -66, 232)],
    ]
    for line in portal:
        patient.paint(patient.tube(line, np.linspace(6.5, 2.2, len(line))), 172.0, None)
    for line in hepatic:
        vein = np.maximum(patient.tube(line, np.linspace(5, 2, len(line))), liver)
        patient.paint(vein, 165.0, None)
    gallbladder = patient.ellipsoid((-58, -58, 152), (15, 16, 30), (0.15, -0.35, 0))
    patient.paint(gallbladder - 1.5, 75.0)
    patient.paint(gallbladder, 9.0, "gallbladder")


def paint_upper_organs(patient: Patient, frame: Frame) -> None:
    """Paint the spleen, kidneys, pancreas, and the stomach with its bubble of air."""
    up = patient.s
    spleen = patient.ellipsoid((101, 42, 212), (30, 54, 56), (0, 0.2, 0.45))
    spleen = meet(spleen, frame.cavity + 3, 3.0)
    spleen = meet(spleen, up - frame.diaphragm + 5, 3.0)
    dent = patient.ellipsoid((62, 10, 206), (30, 42, 50))
    patient.paint(meet(spleen, -dent, 4.0), 122 + 3 * patient.noise(4.0), "spleen")
    for side, up_at, name in ((-1, 136, "kidney_right"), (1, 150, "kidney_left")):
        centre = (side * 72.0, 36.0, float(up_at))
        kidney = patient.ellipsoid(centre, (27, 25, 55), (-side * 0.17, 0.12, side * 0.5))
        sinus = patient.ellipsoid(
            (side * 52, 28, up_at), (17, 9, 24), (-side * 0.17, 0.1, side * 0.5)
        )
        kidney = meet(kidney, -sinus, 3.0)
        patient.paint(kidney - 4, -104.0)
        pyramids = np.clip(patient.noise(5.0), -1, 1)
        inside = np.clip((-kidney - 5) / 3, 0, 1)
        patient.paint(kidney, 188 - inside * (32 + 14 * pyramids), name)
        pelvis = patient.tube([(side * 62, 30, up_at), (side * 42, 26, up_at - 8)], (6, 4))
        ureter = patient.tube(
            [(side * 42, 26, up_at - 8), (side * 38, 18, 90), (side * 34, 16, -5)], 2.2
        )
        patient.paint(np.minimum(pelvis, ureter), 22.0)
        patient.paint(
            patient.tube([(side * 8, 16, up_at - 2), (side * 48, 24, up_at + 2)], 4.2), 172.0
        )
    lobes = 1.8 * patient.noise(5.0)
    pancreas = patient.tube(
        [(-30, -8, 132), (-28, -18, 146), (-4, -34, 156), (28, -22, 168), (68, 12, 184)],
        (15, 15, 10, 11, 9),
    )
    patient.paint(pancreas + lobes, 98 - 12 * np.abs(lobes), "pancreas")
    patient.paint(
        patient.tube([(2, -16, 152), (28, -10, 168), (66, 18, 188), (84, 24, 200)], 3.8), 168.0
    )
    stomach = patient.tube(
        [
            (58, 26, 236),
            (62, 4, 226),
            (62, -28, 204),
            (48, -58, 176),
            (14, -68, 162),
            (-16, -50, 168),
        ],
        (31, 38, 34, 26, 20, 10),
    )
    stomach = meet(stomach + 0.9 * patient.noise(6.0), up - frame.diaphragm + 4, 4.0)
    patient.paint(stomach, 78.0, "stomach")
    patient.paint(stomach + 5, 26 + 9 * patient.noise(4.0), None)
    # On the back, so the air is in front, above a level surface.
    patient.paint(np.maximum(stomach + 5, patient.straight[1] + 42), -985.0, None)


def paint_vessels(patient: Patient) -> None:
    """Paint the aorta and the vena cava down to the iliac vessels; the mesentery's root."""
    trunk = [(26, 14, 330), (20, 12, 285), (12, 14, 240), (10, 14, 180), (11, 12, 110), (8, 10, 46)]
    aorta = patient.tube(trunk, (13, 12.5, 12, 11.5, 10.5, 9.5))
    for tip in ((34, 4, -8), (-22, 4, -8)):
        aorta = np.minimum(aorta, patient.tube([(8, 10, 46), tip], (7.5, 6.5)))
    patient.paint(aorta, 168.0, "aorta")
    wall = np.maximum(np.abs(aorta + 1) - 1.2, 20 * (0.9 - patient.noise(8.0)))
    patient.paint(np.maximum(wall, patient.s - 150), 520.0, None)  # calcified plaques
    cava = patient.tube(
        [(-24, 0, 262), (-26, 6, 225), (-22, 13, 170), (-20, 14, 110), (-18, 14, 40)],
        (13, 13, 12, 11.5, 11.5),
    )
    for tip in ((-30, 16, -8), (26, 16, -8)):
        cava = np.minimum(cava, patient.tube([(-18, 14, 40), tip], (8.5, 7.5)))
    patient.paint(cava, 150.0, "inferior_vena_cava")
    patient.paint(patient.tube([(9, 10, 150), (6, -8, 128), (2, -34, 60)], 4), 168.0)
    patient.paint(patient.tube([(2, -16, 152), (-7, -14, 125), (-9, -36, 62)], 5.5), 165.0)


def paint_bowel(patient: Patient, frame: Frame) -> None:
    """Paint the duodenum, small bowel in coils, colon with stool and gas."""
    rng = patient.rng
    duodenum = patient.tube(
        [(-16, -50, 168), (-44, -28, 158), (-50, -6, 126), (-26, 4, 106), (14, 2, 112)], 12.5
    )
    patient.paint(duodenum, 88.0, "duodenum")
    patient.paint(duodenum + 4, 28.0, None)
    patient.paint(np.maximum(duodenum + 4, patient.straight[1] + 34), -950.0, None)
    noise = patient.noise(7.0)
    for row in range(9):
        height = 2 + 12.0 * row
        reach = 84 - 1.5 * row
        depths = (-64, -40)[row % 2] + rng.uniform(6, 30, 9) * np.resize((1, -1), 9)
        coil = [
            (x + rng.uniform(-9, 9), y + 0.1 * abs(x), height + rng.uniform(-12, 12))
            for x, y in zip(np.linspace(-reach, reach, 9), depths, strict=True)
        ]
        loop = np.maximum(
            patient.tube(coil, rng.uniform(9.5, 13.5, len(coil)), 0.06), frame.cavity + 3
        )
        patient.paint(loop - 1.2, -70.0, None)
        patient.paint(loop, 92.0, "small_bowel")
        patient.paint(loop + 3.6, 24 + 8 * noise, None)
        patient.paint(np.maximum(loop + 3.6, 30 * (1.35 - noise)), -880.0, None)
    colon = patient.tube(
        [(-96, 20, -10), (-106, 16, 40), (-106, 8, 90), (-98, -10, 122)], (25, 27, 24, 20), 0.12
    )
    across = patient.tube(
        [
            (-98, -10, 122),
            (-84, -56, 122),
            (-30, -84, 112),
            (30, -86, 112),
            (78, -66, 136),
            (100, -16, 166),
        ],
        (20, 20, 19, 20, 19, 18),
        0.14,
    )
    down = patient.tube(
        [(100, -16, 166), (106, 22, 140), (110, 32, 80), (104, 26, 20), (92, 4, -10)],
        (17, 15, 14, 14, 14),
        0.12,
    )
    colon = np.maximum(np.minimum(np.minimum(colon, across), down), frame.cavity + 3)
    patient.paint(colon, 74.0, "colon")
    stool = np.where(patient.noise(3.2) + 0.45 * noise > 0.55, -620.0, 55.0)
    patient.paint(colon + 3.4, stool, None)
    patient.paint(np.maximum(colon + 3.4, patient.straight[1] + 78), -970.0, None)


def scan(patient: Patient) -> npt.NDArray[np.int16]:
    """Return what a scanner makes of the patient: a little blur, and noise with its grain."""
    hu = ndimage.gaussian_filter(patient.hu, [1.1 / x for x in SPACING])
    white = patient.rng.standard_normal(SHAPE)
    grain = ndimage.gaussian_filter(white, (0.6, 0.6, 0.3)) - 0.6 * ndimage.gaussian_filter(
        white, (1.6, 1.6, 0.6)
    )
    across, depth, _ = patient.straight
    deep = np.exp(-((across / 150) ** 2 + (depth / 110) ** 2))  # few photons leave the middle
    hu = hu + (5 + 8 * deep) * grain / grain.std()
    return np.asarray(np.clip(np.round(np.round(hu, 3)), -1024, 3071), np.int16)


def generate() -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """Return the CT in Hounsfield units and its truth (numbers: ORGANS, from 1), by voxel."""
    patient = Patient(np.random.default_rng(SEED))
    frame = Frame(patient)
    paint_walls(patient, frame)
    paint_chest(patient, frame)
    paint_liver(patient, frame)
    paint_bowel(patient, frame)
    paint_upper_organs(patient, frame)
    paint_vessels(patient)
    paint_bones(patient, frame)
    return scan(patient), patient.truth
