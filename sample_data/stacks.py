"""Draw stacks of fluorescent nuclei with the truth, as many as wanted and each of another kind.

``python sample_data/stacks.py --count 40 --output DIR`` writes ``DIR/images/*.ome.tif``,
``DIR/labels/*.ome.tif`` with the voxel size in µm, and ``DIR/stacks.json``, which says how each was
drawn. The same seed gives the same stacks, and stack ``n`` does not hang on ``--count``.

`nuclei-3d` is trained on such stacks. How nuclei lie and look is in ``stack_nuclei.py``, what a
microscope makes of them in ``stack_optics.py``; here is which samples and microscopes there are.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # also when it is run as a module of another folder

from stack_nuclei import Arrangement, Labels, Tissue, draw, tidy  # noqa: E402
from stack_optics import Microscope, Optics, Stack, lit, recorded, through_lens  # noqa: E402

ARRANGEMENTS: tuple[Arrangement, ...] = get_args(Arrangement)
MICROSCOPES: tuple[Microscope, ...] = get_args(Microscope)
# Size of a stack in µm: z, y, x.
SIZE = (34.0, 56.0, 56.0)
# Slices are drawn at this step at most, then every so manieth is kept.
_FINEST = 0.4
# Axial blur beyond this share of a nucleus's diameter: nobody would take such an objective.
_BLURRED = 0.22


@dataclass(frozen=True)
class Scene:
    """A sample under a microscope.

    Attributes
    ----------
    tissue, optics
        The sample, and how it is taken.
    shape, spacing
        Voxels of the stack along z, y, x, and their size in µm.
    seed
        Seed of all that is random in it.
    """

    tissue: Tissue
    optics: Optics
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    seed: int

    @property
    def name(self) -> str:
        """Seed, arrangement and microscope."""
        return f"{self.seed:05d}_{self.tissue.arrangement}_{self.optics.microscope}"


def generate(scene: Scene) -> tuple[Stack, Labels]:
    """Return a stack (z, y, x) and its truth: 0 is background, then one number a nucleus."""
    rng = np.random.default_rng(scene.seed)
    step = scene.spacing[0]
    finer = max(1, int(np.ceil(step / max(_FINEST, scene.spacing[1]))))
    shape = (scene.shape[0] * finer, *scene.shape[1:])
    spacing = (step / finer, *scene.spacing[1:])
    light, labels = draw(scene.tissue, shape, spacing, rng)
    kept = slice(finer // 2, None, finer)
    image = through_lens(light, spacing, scene.optics)[kept]
    photons = lit(image, scene.spacing, scene.optics, rng)
    return recorded(photons, scene.optics, rng), tidy(labels[kept])


def random_scene(
    seed: int,
    *,
    arrangement: Arrangement | None = None,
    microscope: Microscope | None = None,
    size: Sequence[float] = SIZE,
) -> Scene:
    """Return a scene drawn at random, of a kind that is given or drawn too.

    Parameters
    ----------
    seed
        What it is drawn from.
    arrangement, microscope
        The kind of sample and of microscope.
    size
        Size of the stack in µm along z, y, x.
    """
    rng = np.random.default_rng((seed, 3))
    kind = ARRANGEMENTS[int(rng.choice(4, p=(0.16, 0.32, 0.3, 0.22)))]
    instrument = MICROSCOPES[int(rng.choice(3, p=(0.5, 0.3, 0.2)))]
    tissue = _tissue(arrangement or kind, rng)
    optics = _optics(microscope or instrument, tissue, rng)
    # Pixels of half the lateral resolution to twice it, as people have them; slices up to eight
    # times as thick, but some in each nucleus.
    pixel = float(np.clip(_between(rng, 0.12, 0.65), 0.05 * tissue.radius, 0.16 * tissue.radius))
    thinnest = max(pixel, 0.25)
    step = _between(rng, thinnest, max(thinnest, min(8 * pixel, 0.75 * tissue.radius)))
    spacing = tuple(round(s, 3) for s in (step, pixel, pixel))
    depth = size[0] if tissue.arrangement != "sparse" else max(8 * tissue.radius, size[0] / 2)
    shape = tuple(
        max(6, round(n / s)) for n, s in zip((min(depth, size[0]), *size[1:]), spacing, strict=True)
    )
    return Scene(tissue, optics, (shape[0], shape[1], shape[2]),
                 (spacing[0], spacing[1], spacing[2]), seed)  # fmt: skip


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a number drawn so that its logarithm is as likely anywhere."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _tissue(arrangement: Arrangement, rng: np.random.Generator) -> Tissue:
    radius = _between(rng, 2.3, 6.5)
    filled = {
        "sparse": rng.uniform(0.08, 0.45),
        "tissue": rng.uniform(0.15, 0.6),
        "spheroid": rng.uniform(0.35, 0.7),
        "sheet": rng.uniform(0.3, 0.7),
    }[arrangement]
    flatness = {
        "sparse": rng.uniform(0.35, 0.85),
        "sheet": rng.uniform(0.9, 1.9),
    }.get(arrangement, rng.uniform(0.75, 1.2))
    return Tissue(
        arrangement=arrangement,
        radius=radius,
        radius_spread=rng.uniform(0.04, 0.22),
        filled=filled,
        closest=rng.uniform(0.8, 1.0),
        elongation=rng.uniform(0.04, 0.2),
        flatness=flatness,
        warp=rng.uniform(0.03, 0.12),
        texture=rng.uniform(0.05, 0.4),
        spots=float(rng.choice((0.0, rng.uniform(0.5, 2.0)))),
        nucleoli=float(rng.choice((0.0, rng.uniform(0.2, 0.7)))),
        brightness_spread=rng.uniform(0.08, 0.5),
        mitotic=float(rng.choice((0.0, rng.uniform(0.0, 0.1)))),
        debris=float(rng.choice((0.0, rng.uniform(0.0, 0.5)))),
    )


def _optics(microscope: Microscope, tissue: Tissue, rng: np.random.Generator) -> Optics:
    index = float(rng.choice((1.0, 1.33, 1.41, 1.515)))
    photons = _between(rng, 6, 400)
    wide, sheet = microscope == "widefield", microscope == "lightsheet"
    excess = rng.uniform(1.0, 2.0) if microscope == "confocal" else 1.0
    bits = int(rng.choice((8, 12, 16)))
    made: dict[str, Any] = {
        "index": index,
        "wavelength": rng.uniform(0.45, 0.68),
        "pinhole": rng.uniform(1.2, 2.5),
        "sheet": min(rng.uniform(0.8, 2.5), 0.35 * tissue.radius),
        "haze": rng.uniform(0.2, 0.55) if wide else rng.uniform(0.02, 0.25),
        "haze_width": rng.uniform(1.0, 3.0),
        "scattering": float(rng.choice((0.0, rng.uniform(0.0, 0.8)))),
        "attenuation": float(rng.choice((0.0, rng.uniform(0.0, 1.5)))),
        "bleaching": float(rng.choice((0.0, rng.uniform(0.0, 0.4)))),
        "shading": rng.uniform(0.0, 0.2),
        "stripes": rng.uniform(0.0, 0.1) if sheet else 0.0,
        "photons": photons,
        "background": photons * _between(rng, 0.01, 0.3),
        "excess": excess,
        "read_noise": rng.uniform(0.0, 0.6) if microscope == "confocal" else rng.uniform(0.8, 3.0),
        "offset": {8: rng.uniform(0, 12), 12: rng.uniform(0, 150), 16: rng.uniform(0, 400)}[bits],
        "bits": bits,
        "exposure": rng.uniform(0.25, 1.2),
    }
    low = 0.25 if sheet else 0.4
    for aperture in (_between(rng, low, 0.95 * index), 0.75 * index, 0.9 * index):
        found = Optics(microscope=microscope, aperture=aperture, **made)
        if found.psf[0] <= _BLURRED * 2 * tissue.radius * min(1.0, tissue.flatness):
            break
    return found


def write(scene: Scene, folder: Path) -> int:
    """Draw a scene and write its stack and truth; return the number of nuclei."""
    from generate import write_ome

    stack, truth = generate(scene)
    for name, array in (("images", stack), ("labels", truth)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        write_ome(folder / name / f"{scene.name}.ome.tif", array, scene.spacing)
    return int(truth.max())


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Draw stacks of nuclei with the truth.")
    parser.add_argument("--count", type=int, default=40, help="how many (default: 40)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first (default: 0)")
    parser.add_argument("--arrangement", choices=ARRANGEMENTS, help="all of this one")
    parser.add_argument("--microscope", choices=MICROSCOPES, help="all with this one")
    parser.add_argument(
        "--size", type=float, nargs=3, default=SIZE, metavar=("Z", "Y", "X"),
        help="size of a stack in µm (default: %(default)s)",
    )  # fmt: skip
    args = parser.parse_args()
    told: dict[str, Any] = {}
    for seed in range(args.seed, args.seed + args.count):
        scene = random_scene(
            seed, arrangement=args.arrangement, microscope=args.microscope, size=args.size
        )
        nuclei = write(scene, args.output)
        told[scene.name] = {"nuclei": nuclei, **asdict(scene)}
        (args.output / "stacks.json").write_text(json.dumps(told, indent=1) + "\n")
        print(f"{scene.name}: {scene.shape} voxels of {scene.spacing} µm, {nuclei} nuclei")
    return 0


if __name__ == "__main__":
    sys.exit(main())
