"""Files that belong together: images and the labels of the same name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import io
from ..errors import TrainingError
from ..io.contents import says_labels
from ..io.formats import is_image_folder

# Words of a name that say that it is an image: they do not tell it from its labels.
_IMAGE_WORDS = {"image", "images", "img", "imgs", "raw"}
# So many names stand in a message.
_NAMED = 3


@dataclass(frozen=True)
class Found:
    """Pairs of image and labels, and the files without a partner."""

    pairs: tuple[tuple[Path, Path], ...]
    alone: tuple[Path, ...] = ()

    @property
    def words(self) -> str:
        """What was found, in a line."""
        count = len(self.pairs)
        line = f"{count} pair{'s' * (count != 1)} found"
        if not self.alone:
            return f"{line}."
        more = ", …" if len(self.alone) > _NAMED else ""
        names = ", ".join(path.name for path in self.alone[:_NAMED])
        return f"{line}; left out, without a partner: {names}{more}."


def pair_up(paths: Sequence[Path]) -> Found:
    """Return the pairs among files and folders, matched by their names.

    Labels are known by a word of their file's name, or of their folder's (``labels``, ``masks``,
    ``ct_seg.nii.gz``); their images are those of the same name without such words.

    Raises TrainingError where there is none.
    """
    images: dict[tuple[Path, str], Path] = {}
    labels: dict[tuple[Path, str], Path] = {}
    files = list(dict.fromkeys(f for path in paths for f in _files(path)))
    for file in files:
        (labels if _says_labels(file) else images).setdefault(_key(file), file)
    pairs = tuple((image, labels[key]) for key, image in images.items() if key in labels)
    if not pairs:
        where = ", ".join(p.name for p in paths[:_NAMED])
        raise TrainingError(
            f"{where}: no image with labels of the same name. Put them into folders called images "
            "and labels, or choose both with Files…"
        )
    used = {file for pair in pairs for file in pair}
    return Found(pairs, tuple(file for file in files if file not in used))


def match(images: Path, labels: Path) -> Found:
    """Return the pairs of two files, or of two folders by the names of their files.

    Raises TrainingError where there is none.
    """
    from ..evaluation.pairs import match_pairs

    matched = match_pairs(images, labels, error=TrainingError)
    return Found(matched.pairs, (*matched.first_alone, *matched.second_alone))


def images_among(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return files, and the images in folders, in order; there what says labels is none.

    Raises TrainingError where there is no image.
    """
    found: dict[Path, None] = {}
    for path in paths:
        # The name of what a person chose says nothing: it may be "images without labels".
        for file in _files(path):
            of_labels = says_labels(file) if file.parent == path else _says_labels(file)
            if file == path or not of_labels:
                found[file] = None
    if not found:
        where = ", ".join(p.name for p in paths[:_NAMED])
        raise TrainingError(f"{where}: no image that can be read.")
    return tuple(found)


def _says_labels(file: Path) -> bool:
    """Whether the name of a file, or of its folder, says that it is labels."""
    return says_labels(file) or says_labels(Path(f"{file.parent.name}.tif"))


def _files(path: Path) -> Iterator[Path]:
    """Yield the images and labels in a folder and in those right inside it, or the file."""
    if not path.is_dir() or is_image_folder(path):
        yield path
        return
    yield from io.images_in(path)
    for inside in sorted(path.iterdir()):
        if inside.is_dir() and not inside.name.startswith(".") and not is_image_folder(inside):
            yield from io.images_in(inside, series=False)


def _key(file: Path) -> tuple[Path, str]:
    """Return what an image and its labels have in common: a place, and a name."""
    plain = _plain(io.stem_of(file))
    place = file.parent
    if not _plain(place.name):
        place = place.parent
    return place, plain


def _plain(name: str) -> str:
    """Return a name without the words that say whether it is an image or labels."""
    words = [w for w in re.split(r"[^a-z0-9]+", name.lower()) if w]
    return "_".join(w for w in words if w not in _IMAGE_WORDS and not says_labels(f"{w}.tif"))
