"""What the README tells people to type does what it says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def blocks(repository: Path, language: str) -> list[str]:
    """Return the code blocks of a language."""
    text = (repository / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def environment() -> dict[str, str]:
    """Return an environment whose programs are those of this Python."""
    programs = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": programs + os.pathsep + os.environ["PATH"]}


def run(*command: str, folder: Path) -> str:
    """Run a command that must succeed without a warning of ours; return what it printed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert not re.search("napari_monai.*Warning", done.stderr), done.stderr
    return done.stdout


def test_python_blocks_run_one_after_the_other(repository: Path, tmp_path: Path) -> None:
    code = blocks(repository, "python")
    assert len(code) >= 4
    (tmp_path / "readme.py").write_text("\n".join(code), encoding="utf-8")
    printed = run(sys.executable, "readme.py", folder=tmp_path)
    assert (tmp_path / "nuclei.tif").is_file()
    count = re.search(r"^(\d+) nuclei, pixels of \(0\.5, 0\.5\) µm$", printed, re.MULTILINE)
    assert count is not None
    assert 120 < int(count[1]) < 180  # 150 are there
    score = re.search(r"average precision (\d\.\d+) at IoU 0\.5", printed)
    assert score is not None
    assert float(score[1]) > 0.8
    assert (tmp_path / "my-nuclei" / "model" / "model.json").is_file()


def test_commands_run_one_after_the_other(
    repository: Path, sample_data: Path, tmp_path: Path
) -> None:
    lines = [
        line
        for block in blocks(repository, "bash")
        for line in block.splitlines()
        if line.startswith("napari-monai ")
    ]
    assert len(lines) >= 6
    shutil.copytree(sample_data, tmp_path / "sample_data")
    for line in lines:
        run(*line.split(), folder=tmp_path)
    assert (tmp_path / "out" / "nuclei_2d.tif").is_file()
    assert json.loads((tmp_path / "out" / "run.json").read_text())
    assert (tmp_path / "abdomen.npy").is_file()


def test_links_to_files_lead_somewhere(repository: Path) -> None:
    text = (repository / "README.md").read_text(encoding="utf-8")
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", text) if not t.startswith("http")]
    assert targets
    assert [t for t in targets if not (repository / t).is_file()] == []
