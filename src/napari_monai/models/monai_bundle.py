"""MONAI bundles, folders or zips: read without running anything of them, and written.

What reads and writes them is imported when it is needed, and torch with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .archive import member_names
from .bundle_config import CONFIG, METADATA, SUFFIXES

if TYPE_CHECKING:
    from .store import Model


def sniff(path: Path) -> bool:
    """Whether a folder or zip is a MONAI bundle: it has ``configs`` for metadata and inference."""
    if path.is_dir():
        names = {f"configs/{f.name}" for f in (path / "configs").glob("*")}
        return _is_bundle(names) or (
            path.name == "configs" and _is_bundle({f"configs/{f.name}" for f in path.glob("*")})
        )
    members = member_names(path)
    return _is_bundle({"/".join(name.split("/")[-2:]) for name in members})


def _is_bundle(names: set[str]) -> bool:
    return f"configs/{METADATA}" in names and any(
        f"configs/{CONFIG}{suffix}" in names for suffix in SUFFIXES
    )


def read(path: Path, *, config: str | Sequence[str] | None = None) -> Model:
    """Return the model in a bundle; nothing of it runs.

    Parameters
    ----------
    path
        Folder or zip.
    config
        Name of the configuration in ``configs``, or several that are merged in order; the one
        for inference when left out.

    Raises
    ------
    ModelError
        If it is no bundle or its files are damaged. What is merely not known is a blocker.
    """
    from .bundle_reading import read_bundle

    return read_bundle(path, config)


def export(model: Model, target: Path, *, fold: int | None = None) -> Path:
    """Write a model as a MONAI bundle that MONAI's own runner takes, and return where it is.

    Parameters
    ----------
    model
        The model; its network has to be one of MONAI's.
    target
        Folder to make, or a file that ends in ``.zip``; it must not exist yet.
    fold
        Which network of an ensemble: a bundle holds one.

    Raises
    ------
    ModelError
        If the network is none of MONAI's, or an operation is one that MONAI does not have.
    WriteError
        If the target exists or cannot be written.
    """
    from .bundle_export import write

    return write(model, target, fold)
