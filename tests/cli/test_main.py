"""The frame of the command line: help, start-up time, exit codes, one line an error."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import warnings

import pytest

import napari_monai
from napari_monai.cli import COMMANDS, main
from napari_monai.errors import VolumeWarning


def program(*arguments: str, **kwargs) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "napari_monai", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)


def one_error(text: str) -> str:
    """Return the single line of an error message."""
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("napari-monai: error: ")
    return lines[0]


def test_help_takes_under_half_a_second_of_cpu():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = program("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    assert all(command.name in done.stdout for command in COMMANDS)
    spent = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    assert spent < 0.5


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_help_of_a_command_imports_nothing_heavy(command):
    code = (
        "import sys; from napari_monai.cli import main; code = main([sys.argv[1], '--help']); "
        "heavy = {'numpy', 'torch', 'monai', 'scipy', 'skimage', 'napari'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: napari-monai {command}" if command else "usage")


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"napari-monai {napari_monai.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param([], "COMMAND", id="no command"),
        pytest.param(["segmnt"], "invalid choice: 'segmnt'", id="unknown command"),
        pytest.param(["evaluate"], "--prediction, --truth", id="missing arguments"),
        pytest.param(["models"], "ACTION", id="no action"),
        pytest.param(["segment", "--output", "o", "--frob"], "--frob", id="unknown flag"),
        pytest.param(["segment", "--output", "o", "--window", "big"], "256,256", id="no numbers"),
        pytest.param(["segment", "--output", "o"], "No image given", id="no input"),
        pytest.param(["train", "--patch", "16", "32", "8"], "--patch 16,32,8", id="no commas"),
        pytest.param(["train", "--patch", "16", "lots"], "arguments: lots. See", id="a word more"),
    ],
)
def test_wrong_arguments_exit_with_2_and_one_line(arguments, words, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in one_error(err)


def test_an_error_is_one_line_and_debug_shows_where(tmp_path, capsys):
    missing = str(tmp_path / "no.tif")
    arguments = ["convert", missing, str(tmp_path / "out.tif")]
    assert main(arguments) == 1
    assert missing in one_error(capsys.readouterr().err)
    assert main([*arguments, "--debug"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert missing in err.splitlines()[-1]


def test_our_warnings_are_one_line_and_those_of_libraries_are_left_out(monkeypatch, capsys):
    def run(args):
        warnings.warn(VolumeWarning("The affine is\nbroken."), stacklevel=1)
        with warnings.catch_warnings():
            warnings.simplefilter("always", FutureWarning)
            warnings.warn("for developers", FutureWarning, stacklevel=1)
        return 0

    monkeypatch.setattr("napari_monai.cli.info.run", run)
    shown = warnings.showwarning
    assert main(["info"]) == 0
    assert capsys.readouterr().err == "napari-monai: warning: The affine is broken.\n"
    assert warnings.showwarning is shown


def test_interrupt_exits_with_130(monkeypatch, capsys):
    def run(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_monai.cli.info.run", run)
    assert main(["info"]) == 130
    assert capsys.readouterr().err == "napari-monai: cancelled.\n"


def test_reader_that_stops_listening_is_no_error():
    command = f"{sys.executable} -m napari_monai models list | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="scripts have another extension on Windows")
def test_the_script_is_installed():
    script = os.path.join(os.path.dirname(sys.executable), "napari-monai")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["napari-monai", napari_monai.__version__]
