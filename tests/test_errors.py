"""The errors: one base, built-ins too, none that the viewer's workers swallow."""

from __future__ import annotations

import inspect

import pytest

from napari_monai import errors
from napari_monai.errors import NapariMonaiError, did_you_mean

LEAVES = [
    e
    for _, e in inspect.getmembers(errors, inspect.isclass)
    if issubclass(e, NapariMonaiError) and e is not NapariMonaiError
]


@pytest.mark.parametrize("leaf", LEAVES)
def test_each_is_a_built_in_error_too(leaf: type[Exception]) -> None:
    built_in = {b for b in leaf.__mro__ if b.__module__ == "builtins"}
    assert built_in - {Exception, BaseException, object}
    assert not issubclass(leaf, RuntimeError)
    assert str(leaf("one line")) == "one line"


@pytest.mark.parametrize(
    ("leaf", "built_in"),
    [
        (errors.ReadError, OSError),
        (errors.WriteError, OSError),
        (errors.OutOfMemoryError, MemoryError),
        (errors.ModelNotFoundError, LookupError),
        (errors.GridError, ValueError),
        (errors.SettingsError, ValueError),
    ],
)
def test_what_scripts_catch(leaf: type[Exception], built_in: type[Exception]) -> None:
    assert issubclass(leaf, built_in)


def test_warnings_are_no_errors() -> None:
    assert issubclass(errors.VolumeWarning, UserWarning)
    assert not issubclass(errors.VolumeWarning, NapariMonaiError)


@pytest.mark.parametrize(
    ("word", "known", "cure"),
    [
        ("nucleii", ["nuclei-2d", "organs"], "Did you mean 'nuclei-2d'?"),
        ("zzz", ["b", "a"], "Known: a, b."),
        ("zzz", [], "None is known."),
        ("zzz", iter(["b"]), "Known: b."),
    ],
)
def test_did_you_mean(word: str, known: list[str], cure: str) -> None:
    assert did_you_mean(word, known) == cure
