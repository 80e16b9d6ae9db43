"""Settings as command line options: derived, checked, and read back."""

from __future__ import annotations

import argparse

import pytest

from napari_monai.cli import Parser
from napari_monai.cli.options import add_settings, settings_from
from napari_monai.errors import SettingsError
from napari_monai.settings import InferenceSettings, Settings, TrainingSettings


def parse(kind: type[Settings], line: str, base=None):
    parser = Parser(prog="x", exit_on_error=False)
    add_settings(parser, kind, unset="auto")
    return settings_from(parser.parse_args(line.split()), kind, base or {})


@pytest.mark.parametrize("kind", [InferenceSettings, TrainingSettings])
def test_no_flag_is_the_default(kind):
    assert parse(kind, "") == kind()


@pytest.mark.parametrize("kind", [InferenceSettings, TrainingSettings])
def test_every_field_has_its_flag_and_its_words_in_the_help(kind):
    parser = argparse.ArgumentParser(formatter_class=argparse.RawTextHelpFormatter)
    add_settings(parser, kind, unset="auto")
    text = parser.format_help()
    for item in kind.options():
        assert f"{item.flag}" in text
        assert item.help in text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--window 64,96", {"window": (64, 96)}),
        ("--window 8x16x16", {"window": (8, 16, 16)}),
        ("--overlap 0.5 --batch-size 3", {"overlap": 0.5, "batch_size": 3}),
        ("--flips", {"flips": True}),
        ("--no-flips", {"flips": False}),
        ("--blend constant --device cpu", {"blend": "constant", "device": "cpu"}),
        ("--min-size 20", {"min_size": 20.0}),
    ],
)
def test_flags_are_settings(line, expected):
    assert parse(InferenceSettings, line) == InferenceSettings(**expected)


def test_a_flag_wins_over_the_file_and_the_rest_is_kept():
    base = {"overlap": 0.75, "window": [32, 32]}
    settings = parse(InferenceSettings, "--overlap 0.1", base)
    assert settings == InferenceSettings(overlap=0.1, window=(32, 32))


@pytest.mark.parametrize("name", ["overlap", "blend", "window", "batch_size"])
def test_auto_unsets_what_the_file_says(name):
    base = {"overlap": 0.75, "blend": "constant", "window": [32], "batch_size": 2}
    settings = parse(InferenceSettings, f"--{name.replace('_', '-')} auto", base)
    assert getattr(settings, name) is None


@pytest.mark.parametrize("line", ["--overlap 2", "--batch-size 0", "--window 0,0"])
def test_limits_are_those_of_the_settings(line):
    with pytest.raises(SettingsError, match="goes"):
        parse(InferenceSettings, line)


@pytest.mark.parametrize("line", ["--device gpu", "--blend soft", "--batch-size many"])
def test_other_words_are_refused(line, capsys):
    with pytest.raises((SystemExit, argparse.ArgumentError)):
        parse(InferenceSettings, line)
