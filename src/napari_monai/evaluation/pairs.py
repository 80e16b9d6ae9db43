"""Which file belongs to which: images and their labels, predictions and their truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from .. import io
from ..errors import EvaluationError, NapariMonaiError


@dataclass(frozen=True)
class Matched:
    """Pairs of files, in order of their names, and the files without a partner on each side."""

    pairs: tuple[tuple[Path, Path], ...]
    first_alone: tuple[Path, ...] = ()
    second_alone: tuple[Path, ...] = ()


def match_pairs(
    first: str | PathLike[str],
    second: str | PathLike[str],
    *,
    error: type[NapariMonaiError] = EvaluationError,
) -> Matched:
    """Match the files of two folders by their names without extension.

    Two files are a pair whatever their names. Files of no known format are passed over.

    Parameters
    ----------
    first, second
        Two folders (images and labels, predictions and truth), or two files.
    error
        What to raise.

    Raises
    ------
    EvaluationError
        If one does not exist, if two files of a folder have one name, or if nothing matches.
    """
    a, b = Path(first), Path(second)
    for path in (a, b):
        if not path.exists():
            raise error(f"{path} does not exist.")
    files = [path.is_file() or io.is_image_folder(path) for path in (a, b)]
    if all(files):
        return Matched(((a, b),))
    if any(files):
        file, folder = (a, b) if files[0] else (b, a)
        raise error(f"{file} is a file and {folder} a folder: give two files or two folders.")
    ours, theirs = _by_stem(a, error), _by_stem(b, error)
    both = [name for name in ours if name in theirs]
    if not both:
        raise error(f"{_example(a, ours)} and {_example(b, theirs)}: no names in common.")
    return Matched(
        tuple((ours[name], theirs[name]) for name in both),
        tuple(path for name, path in ours.items() if name not in theirs),
        tuple(path for name, path in theirs.items() if name not in ours),
    )


def named(paths: Sequence[Path], limit: int = 3) -> str:
    """Return the names of the first files and how many more there are, for a message."""
    more = f" and {len(paths) - limit} more" if len(paths) > limit else ""
    return ", ".join(p.name for p in paths[:limit]) + more


def _by_stem(folder: Path, error: type[NapariMonaiError]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in io.images_in(folder):
        other = files.setdefault(io.stem_of(path), path)
        if other is not path:
            raise error(f"{other} and {path.name} have one name: keep one of them.")
    return files


def _example(folder: Path, files: dict[str, Path]) -> str:
    if not files:
        return f"{folder} holds no image"
    return f"{folder} holds {named(list(files.values()), 2)}"
