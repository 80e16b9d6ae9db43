"""``models`` and ``info``: what there is, and what is missing."""

from __future__ import annotations

import json

import torch

from napari_monai.cli import main
from napari_monai.models import Model


def test_list_shows_each_model(bright: Model, blobs: Model, capsys):
    assert main(["models", "list"]) == 0
    out, err = capsys.readouterr()
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert rows["name"].split() == [
        "name", "task", "modality", "dims", "classes", "size", "licence", "trust"
    ]  # fmt: skip
    assert rows["bright"].split()[1:5] == ["classes", "-", "2D", "bright"]
    assert rows["blobs"].split()[1:4] == ["instances", "-", "2D"]
    assert rows["blobs"].endswith("data only")
    assert err == ""


def test_list_goes_on_past_a_damaged_model(bright: Model, blobs: Model, capsys):
    (blobs.folder / "model.json").write_text("{")
    assert main(["models", "list"]) == 0
    out, err = capsys.readouterr()
    assert "bright" in out
    (line,) = err.splitlines()
    assert line.startswith("napari-monai: warning: ")
    assert "blobs" in line


def test_show_is_the_card(bright: Model, capsys):
    assert main(["models", "show", "bright"]) == 0
    out = capsys.readouterr().out
    rows = {line[:16].strip(): line[16:] for line in out.splitlines()}
    assert rows["title"] == "Finds what is bright"
    assert rows["licence"] == "CC0-1.0"
    assert rows["classes"] == "1 bright"
    assert rows["folder"] == str(bright.folder)
    assert bright.description.weights[0].sha256 in out


def test_show_as_json_is_the_description(bright: Model, capsys):
    assert main(["models", "show", str(bright.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == bright.description.to_json()


def test_show_hints_at_a_near_name(bright: Model, capsys):
    assert main(["models", "show", "brihgt"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "Did you mean 'bright'?" in line


def test_info_names_versions_devices_and_models(bright: Model, capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert f"torch         {torch.__version__}" in out
    assert "cpu     " in out
    assert "GiB" in out
    assert "bright" in out.split("Models\n")[1].splitlines()[0]


def test_info_says_what_is_missing_and_how_to_get_it(monkeypatch, capsys):
    from napari_monai.cli import info

    there = info._version
    monkeypatch.setattr(info, "_version", lambda n: None if n in (*info._QT, "zarr") else there(n))
    assert main(["info"]) == 0
    missing = capsys.readouterr().out.split("Missing\n")[1]
    assert 'pip install "napari-monai[gui]"' in missing
    assert "pip install zarr" in missing


def test_info_lists_the_networks_and_what_they_cost(capsys):
    from napari_monai.networks import NETWORKS

    assert main(["info", "--networks", "unet", "plain_conv_unet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1::3]] == ["unet", "plain_conv_unet"]
    assert lines[4].endswith(NETWORKS["plain_conv_unet"].summary)
    # nnU-Net's own network of these widths has 31.2 M parameters.
    assert lines[6].strip().startswith("3D: 7.8, 31.2, ")
    assert "GFLOP (96 x 96 x 96)" in lines[6]
    assert main(["info", "--networks", "unett"]) == 1
    assert "Did you mean 'unet'?" in capsys.readouterr().err
    assert main(["info", "--patients", "--networks"]) == 2
