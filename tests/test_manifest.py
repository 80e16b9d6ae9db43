"""The manifest: every name in it leads somewhere, which npe2's own check does not ask."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import npe2
import pytest

import napari_monai
from napari_monai.io import format_of, known_extensions

# Menus that napari 0.9 opens to plugins.
MENUS = {
    *(f"napari/file/{m}" for m in ("io_utilities", "acquire", "new_layer")),
    *(
        f"napari/layers/{m}"
        for m in (
            "visualize", "annotate", "data", "metadata", "layer_type", "filter", "transform",
            "measure", "register", "project", "segment", "track", "classify",
        )
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def manifest() -> Any:
    return npe2.PluginManifest.from_file(Path(napari_monai.__file__).parent / "napari.yaml")


@pytest.fixture(scope="module")
def contributions(manifest: Any) -> Any:
    return manifest.contributions


def test_npe2_finds_nothing_wrong() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "npe2", "validate", "napari_monai", "--imports"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_name(manifest: Any) -> None:
    assert manifest.name == "napari-monai"


def test_commands_lead_to_leaf_modules(contributions: Any) -> None:
    for command in contributions.commands:
        module, _, name = command.python_name.partition(":")
        assert module.startswith("napari_monai._napari."), "the package root stays unimported"
        assert callable(getattr(importlib.import_module(module), name)), command.id


def test_command_ids_and_titles_are_unique(contributions: Any) -> None:
    for what in ("id", "title"):
        counts = Counter(getattr(c, what) for c in contributions.commands)
        assert max(counts.values()) == 1, counts.most_common(1)


def test_every_command_is_used_and_every_used_one_exists(contributions: Any) -> None:
    used = {
        item.command
        for part in (
            contributions.readers,
            contributions.writers,
            contributions.widgets,
            contributions.sample_data,
            *contributions.menus.values(),
        )
        for item in part
        if hasattr(item, "command")
    }
    assert used == {c.id for c in contributions.commands}


def test_menus_are_open_to_plugins_and_submenus_exist(contributions: Any) -> None:
    own = {s.id for s in contributions.submenus or ()}
    assert set(contributions.menus) <= MENUS | own
    for items in contributions.menus.values():
        assert {i.submenu for i in items if hasattr(i, "submenu")} <= own


def test_sample_keys_are_no_command_ids(contributions: Any) -> None:
    """The viewer registers an action "plugin.key" for each sample, beside the commands."""
    ids = {c.id for c in contributions.commands}
    assert not ids & {f"napari-monai.{s.key}" for s in contributions.sample_data}


def test_readers_claim_what_can_be_read_and_no_more(contributions: Any) -> None:
    patterns = [p for r in contributions.readers for p in r.filename_patterns]
    assert {p.removeprefix("*") for p in patterns} <= set(known_extensions())
    assert {"*.nii", "*.nii.gz", "*.ome.tif"} <= set(patterns)


def test_writers_offer_what_can_be_written(contributions: Any) -> None:
    for writer in contributions.writers:
        for extension in writer.filename_extensions:
            assert format_of(f"x{extension}", writes=True).writes, extension


def test_the_file_at_the_top_is_the_one_inside(repository: Path) -> None:
    inside = repository / "src" / "napari_monai" / "napari.yaml"
    assert (repository / "napari.yaml").resolve() == inside.resolve()
