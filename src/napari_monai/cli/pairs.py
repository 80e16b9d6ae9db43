"""Which images a training is given, and which labels belong to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import SettingsError, TrainingError
from .output import complain

Pairs = list[tuple[Path, Path]]


def match_folders(
    images: Sequence[Path], labels: Sequence[Path], images_flag: str, labels_flag: str
) -> Pairs:
    """Return the pairs of files, of folders or files that are given in the same order."""
    from ..evaluation import match_pairs
    from ..evaluation.pairs import named

    if not images or len(images) != len(labels):
        raise SettingsError(
            f"{images_flag} names {len(images)} folders and {labels_flag} {len(labels)}: "
            "give the same number of each, in the same order."
        )
    pairs: Pairs = []
    for one, other in zip(images, labels, strict=True):
        matched = match_pairs(one, other, error=TrainingError)
        pairs.extend(matched.pairs)
        for folder, alone, lacks in (
            (one, matched.first_alone, "labels"),
            (other, matched.second_alone, "image"),
        ):
            if alone:
                complain(
                    f"{folder}: {len(alone)} left out, without {lacks}: {named(alone)}",
                    level="warning",
                )
    return pairs


def images_of(paths: Sequence[Path]) -> list[Path]:
    """Return the images of folders, and those that are given themselves."""
    from ..io import images_in, is_image_folder

    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise TrainingError(f"{path} does not exist.")
        one = path.is_file() or is_image_folder(path)
        found.extend([path] if one else images_in(path))
    return found
