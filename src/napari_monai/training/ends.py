"""How a training ends before its last step, in one clear line, with the best model kept."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..devices import is_out_of_memory
from ..errors import TrainingError, WriteError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class NotANumberError(TrainingError):
    """The loss or a weight is no longer a number."""


@contextmanager
def clear_ends(folder: Path) -> Iterator[None]:
    """Turn a full disk into one line that says what is left and how to go on."""
    try:
        yield
    except OSError as error:
        if isinstance(error, TrainingError) or not _is_full(error):
            raise
        raise WriteError(
            f"The disk of {folder} is full: make room and resume; {_kept(folder)}"
        ) from None


def _is_full(error: BaseException) -> bool:
    """Return whether a disk, or what a user may use of it, is full; or an error says so of one."""
    return (isinstance(error, OSError) and error.errno in _FULL) or (
        isinstance(error, WriteError) and _is_full_of(error)
    )


def _is_full_of(error: BaseException) -> bool:
    seen = error.__context__
    return seen is not None and _is_full(seen)


def _kept(folder: Path) -> str:
    if (folder / "model" / "model.json").exists():
        return f"the best model so far is in {folder / 'model'}."
    return "there is no model yet."


__all__ = ["NotANumberError", "clear_ends", "is_out_of_memory"]
