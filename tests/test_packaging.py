"""The wheel, the sdist and an editable install, each in a fresh environment of its own.

The environments see the libraries of the one that runs the tests, but not its napari-monai, so
that nothing is downloaded.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

# Run in the fresh environment, in an empty folder: what is found, and where.
LOOK = """
import importlib.metadata, importlib.resources, json, sys
import napari_monai
from npe2 import PluginManager

manager = PluginManager()
manager.discover(include_npe1=False)
manifest = manager.get_manifest("napari-monai")
root = importlib.resources.files("napari_monai")

def sizes(folder, prefix=""):
    found = {}
    for item in folder.iterdir():
        if item.is_dir() and item.name != "__pycache__":
            found |= sizes(item, prefix + item.name + "/")
        elif item.is_file() and not item.name.endswith(".pyc"):
            found[prefix + item.name] = len(item.read_bytes())
    return found

print(json.dumps({
    "package": str(root),
    "version": [napari_monai.__version__, importlib.metadata.version("napari-monai")],
    "widgets": [widget.display_name for widget in manifest.contributions.widgets or ()],
    "samples": [sample.key for sample in manifest.contributions.sample_data or ()],
    "files": sizes(root),
    "heavy": sorted({"torch", "monai", "qtpy"} & set(sys.modules)),
}))
"""


def run(*command: str | Path, folder: Path) -> str:
    """Run a command that must succeed; return what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def built(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build the wheel from the checkout, the sdist, and the wheel from the sdist."""
    direct, packed = tmp_path_factory.mktemp("direct"), tmp_path_factory.mktemp("packed")
    build = (sys.executable, "-m", "build", "--no-isolation")
    run(*build, "--wheel", "--outdir", direct, repository, folder=direct)
    run(*build, "--outdir", packed, repository, folder=packed)  # the wheel from the sdist
    return {
        "wheel": next(direct.glob("*.whl")),
        "sdist": next(packed.glob("*.tar.gz")),
        "wheel of the sdist": next(packed.glob("*.whl")),
    }


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all that is installed here but napari-monai, as links."""
    folder = tmp_path_factory.mktemp("libraries")
    paths = sysconfig.get_paths()
    for place in {paths["purelib"], paths["platlib"]}:
        for item in Path(place).iterdir():
            ours = "napari_monai" in item.name
            if not ours and item.suffix != ".pth" and not (folder / item.name).exists():
                (folder / item.name).symlink_to(item)
    return folder


def install(what: Path, *options: str, libraries: Path, folder: Path) -> Path:
    """Install into a new environment without downloads; return the folder of its programs."""
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", folder=folder)
    programs = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    python = programs / "python"
    where = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    site = Path(run(python, "-c", where, folder=folder).strip())
    (site / "libraries.pth").write_text(f"{libraries}\n")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    run(
        *pip,
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--disable-pip-version-check",
        *options,
        what,
        folder=folder,
    )
    return programs


def sources(repository: Path) -> dict[str, int]:
    """Return name and size of every file that git knows of the package and its sample data."""
    listed = run(
        "git", "ls-files", "--", "src/napari_monai", "sample_data", folder=repository
    ).splitlines()
    return {
        name.removeprefix("src/napari_monai/"): (repository / name).stat().st_size
        for name in listed
        if (repository / name).is_file()
    }


@pytest.mark.parametrize("kind", ["wheel", "sdist", "wheel of the sdist", "editable"])
def test_install_shows_the_plugin_and_its_data(
    kind: str,
    built: dict[str, Path],
    libraries: Path,
    repository: Path,
    tmp_path: Path,
) -> None:
    if kind == "editable":
        programs = install(repository, "--editable", libraries=libraries, folder=tmp_path)
    else:
        programs = install(built[kind], libraries=libraries, folder=tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()

    found: dict[str, Any] = json.loads(run(programs / "python", "-c", LOOK, folder=empty))
    inside = Path(found["package"]).is_relative_to(tmp_path / "venv")
    assert inside == (kind != "editable"), "the test looked at another napari-monai"
    assert found["version"][0] == found["version"][1]
    assert "Segment" in found["widgets"]
    assert found["samples"] == ["nuclei_2d", "nuclei_3d", "abdomen_ct"]
    assert found["heavy"] == [], "discovery imports what it should not"
    expected = sources(repository)
    assert "sample_data/nuclei_2d.tif" in expected
    assert expected.items() <= found["files"].items()

    run(programs / "python", "-m", "npe2", "validate", "napari_monai", "--imports", folder=empty)
    assert "segment" in run(programs / "napari-monai", "--help", folder=empty)


def metadata(wheel: Path) -> Message:
    """Return the METADATA of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_metadata_is_what_the_hub_and_a_cluster_need(built: dict[str, Path]) -> None:
    fields = metadata(built["wheel"])
    assert fields["Name"] == "napari-monai"
    assert fields["License-Expression"] == "BSD-3-Clause"
    assert fields["Requires-Python"] == ">=3.11"
    assert "Framework :: napari" in fields.get_all("Classifier", [])
    assert len(fields.get_all("Project-URL", [])) >= 4
    needed = [line for line in fields.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert any(line.startswith("torch>=2.10") for line in needed)
    assert any(line.startswith("monai>=1.6.1") for line in needed)
    for line in needed:  # no Qt binding unless asked for, and no napari[all]
        assert not line.lower().startswith(("pyqt", "pyside")), line
        assert "[" not in line, line
    assert "# napari-monai" in str(fields.get_payload())


def test_both_wheels_hold_the_same(built: dict[str, Path]) -> None:
    contents = []
    for kind in ("wheel", "wheel of the sdist"):
        with zipfile.ZipFile(built[kind]) as archive:
            contents.append({item.filename: item.CRC for item in archive.infolist()})
    records = [{k: v for k, v in one.items() if not k.endswith("RECORD")} for one in contents]
    assert records[0] == records[1]


def test_sdist_holds_what_is_needed_to_build_and_test_it(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "Makefile", "constraints.txt"} <= names
    assert {"napari.yaml", "src/napari_monai/napari.yaml", "tests/conftest.py"} <= names
    assert "sample_data/abdomen_ct.nii.gz" in names
    strays = [n for n in names if ".venv" in n or "__pycache__" in n or n.startswith(".git/")]
    assert strays == []
