"""Where a training's process comes from, and in which surroundings it begins."""

from __future__ import annotations

import os
import site
import subprocess
import sys
from pathlib import Path

import pytest

import napari_monai
from napari_monai.errors import TrainingError
from napari_monai.training import launch

ROOT = str(Path(napari_monai.__file__).resolve().parents[1])


def executables(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        ("bin/python3.11", [], "bin/python3.11"),
        ("bin/Python", [], "bin/Python"),
        ("bin/napari", ["bin/python3"], "bin/python3"),
        ("bin/napari", ["bin/python"], "bin/python"),
        ("pythonw.exe", ["python.exe"], "python.exe"),
    ],
    ids=["plain", "mac", "app", "app-python", "pythonw"],
)
def test_the_python_of_our_packages_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, others: list[str], expected: str
) -> None:
    executables(tmp_path, own, *others)
    monkeypatch.setattr(sys, "executable", str(tmp_path / own))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert launch.python() == str(tmp_path / expected)


@pytest.mark.parametrize("own", ["napari", None])
def test_no_python_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str | None
) -> None:
    monkeypatch.setattr(sys, "executable", own and str(tmp_path / own))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(TrainingError, match="No Python beside"):
        launch.python()


def test_what_belongs_to_one_of_several_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert launch.rank() == 1
    assert not {"RANK", "WORLD_SIZE"} & launch.environment().keys()
    monkeypatch.delenv("WORLD_SIZE")  # a cluster's own, of something else
    assert launch.rank() is None


def test_a_checkout_is_found_from_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "here", str(tmp_path)]))
    told = launch.environment()["PYTHONPATH"].split(os.pathsep)
    assert told == [ROOT, os.path.abspath("here"), str(tmp_path)]


def test_an_installed_package_does_not_come_before_the_standard_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(site, "getsitepackages", lambda: [ROOT])
    assert "PYTHONPATH" not in launch.environment()


def test_modules_where_one_happens_to_be_are_not_taken(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('not this one')")
    command = [launch.python(), "-m", "napari_monai", "info", "--help"]
    code = [launch.python(), "-c", "import numpy; print(numpy.pi)"]
    for given in (command, code):
        done = subprocess.run(given, cwd=tmp_path, env=launch.environment(), capture_output=True)
        assert done.returncode == 0, done.stderr


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(launch, "cores", lambda: 8)
    assert "OMP_NUM_THREADS" not in launch.environment()
    assert launch.environment(4)["OMP_NUM_THREADS"] == "2"
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert launch.environment(4)["OMP_NUM_THREADS"] == "5"


def test_it_gives_way() -> None:
    code = (
        "import os, psutil; before = psutil.Process().nice();"
        "from napari_monai.training import launch; launch.give_way();"
        "print(psutil.Process().nice() > before or before >= 10, os.environ['OMP_NUM_THREADS'],"
        "max(1, launch.cores() - 1))"
    )
    env = {k: v for k, v in launch.environment().items() if k != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    lower, threads, expected = done.stdout.split()
    assert (lower, threads) == ("True", expected)


def test_a_process_is_ended_with_those_it_has_begun() -> None:
    code = (
        "import subprocess, sys, time; "
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(p.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        launch.end(process.pid)
        assert process.poll() is not None
    import psutil

    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    launch.end(process.pid)  # gone already
