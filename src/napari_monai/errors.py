"""The errors of napari-monai: one base, and leaves that are built-in errors too.

Every message is one line that says what is wrong, with which file or value, and the cure. The
command line prints it and exits 1, the viewer shows it as a notification; neither shows a
traceback for a :class:`NapariMonaiError`.

None of them is a ``RuntimeError``: generator workers of the viewer swallow those.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NapariMonaiError(Exception):
    """Base of all errors that a user can cause and cure."""


class GridError(NapariMonaiError, ValueError):
    """A grid that describes no physical space, or two grids that do not fit."""


class VolumeError(NapariMonaiError, ValueError):
    """An array and its description that do not fit each other."""


class SettingsError(NapariMonaiError, ValueError):
    """A setting out of its range, of the wrong type, or unknown."""


class ReadError(NapariMonaiError, OSError):
    """A file that cannot be read: missing, truncated, or not what its name says."""


class WriteError(NapariMonaiError, OSError):
    """A file that cannot be written."""


class FormatError(NapariMonaiError, ValueError):
    """A format that is not known, or that cannot hold what it is given."""


class NetworkError(NapariMonaiError, ValueError):
    """A network that is not in the table, or arguments that it does not take."""


class ModelError(NapariMonaiError, ValueError):
    """A model that is damaged, incomplete, or does not fit the image."""


class TrustError(ModelError):
    """A model that brings code of its own, which the user has not agreed to run."""


class ModelNotFoundError(NapariMonaiError, LookupError):
    """A model name that is not in the store."""


class DeviceError(NapariMonaiError, ValueError):
    """A device that this machine does not have."""


class OutOfMemoryError(NapariMonaiError, MemoryError):
    """Work that fits neither the accelerator nor the host."""


class TrainingError(NapariMonaiError, ValueError):
    """Training data or a checkpoint that training cannot use."""


class EvaluationError(NapariMonaiError, ValueError):
    """A prediction and a truth that cannot be compared."""


class EditError(NapariMonaiError, ValueError):
    """An edit of labels that cannot be done as it is asked for."""


class VolumeWarning(UserWarning):
    """Something about a file that was put up with: a broken affine, a file passed over."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the cure for a name that is not known: its near miss, or all that are known."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Known: {', '.join(names)}." if names else "None is known."
