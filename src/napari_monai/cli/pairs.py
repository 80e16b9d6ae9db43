"""Which images a training is given, and which labels belong to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SettingsError, TrainingError
from .output import complain

if TYPE_CHECKING:
    from ..training.shares import Pair, Share

FOLDERS = ("images", "labels", "val_images", "val_labels", "unlabelled")

Pairs = list[tuple[Path, Path]]


@dataclass(frozen=True)
class Data:
    """What to train on, and the folders and files that it was found in."""

    pairs: Sequence[Pair | Share]
    validation: Sequence[Pair | Share]
    unlabelled: Sequence[Path]
    folders: Mapping[str, Sequence[Path]]
    parts: Mapping[str, Sequence[Mapping[str, Any]]]

    def content(self, output: Path) -> dict[str, Any]:
        """Return what ``run.json`` in a folder says of it."""
        from ..training.handing import path_in

        named = {key: [path_in(output, p) for p in paths] for key, paths in self.folders.items()}
        return {**named, **{key: list(parts) for key, parts in self.parts.items() if parts}}


def read_data(
    folders: Mapping[str, Sequence[Path]], parts: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Data:
    """Return what there is in folders to train on.

    Parameters
    ----------
    folders
        Folders or files by `FOLDERS`.
    parts
        What counts of each pair, where that is not all: ``shares`` and ``val_shares``.
    """
    from ..training.handing import with_parts

    pairs = match_folders(folders["images"], folders["labels"], "--images", "--labels")
    held_out: Pairs = []
    if folders["val_images"] or folders["val_labels"]:
        held_out = match_folders(
            folders["val_images"], folders["val_labels"], "--val-images", "--val-labels"
        )
    return Data(
        with_parts(pairs, parts.get("shares", ())),
        with_parts(held_out, parts.get("val_shares", ())),
        images_of(folders["unlabelled"]),
        folders,
        parts,
    )


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
