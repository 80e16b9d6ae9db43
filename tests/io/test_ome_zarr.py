"""OME-Zarr: groups made with zarr alone, labels checked as JSON."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.space import grid

from napari_monai import io
from napari_monai.cli import main
from napari_monai.errors import FormatError, ReadError, VolumeWarning, WriteError
from napari_monai.grid import Grid
from napari_monai.io import ome_zarr, ome_zarr_write
from napari_monai.volume import LabelClass, LabelVolume, Volume

VOXELS = np.random.default_rng(3).integers(0, 2**16, (2, 3, 8, 30, 41), dtype=np.uint16)
UNITS = {"t": "millisecond", "z": "micrometer", "y": "micrometer", "x": "micrometer"}
KINDS = {"t": "time", "c": "channel"}
BOTH = pytest.mark.parametrize("version", ["0.4", "0.5"])


def axes(names: str, **changes: str) -> list[dict[str, str]]:
    found = []
    for name in names:
        axis = {"name": name, "type": KINDS.get(name, "space")}
        if name in UNITS:
            axis["unit"] = changes.get(name, UNITS[name])
        found.append(axis)
    return found


def make(path: Path, array: Any = VOXELS, names: str = "tczyx", version: str = "0.5", *,
         levels: int = 2, said: Any = None, more: Any = None) -> Path:  # fmt: skip
    """Write an image by zarr alone."""
    group = zarr.open_group(str(path), mode="w", zarr_format=3 if version == "0.5" else 2)
    datasets = []
    scale = {"t": 250.0, "c": 1.0, "z": 2.0, "y": 0.5, "x": 0.25}
    start = {"t": 0.0, "c": 0.0, "z": 10.0, "y": 20.0, "x": 30.0}
    for level in range(levels):
        step = tuple(slice(None, None, 2**level if n in "yx" else 1) for n in names)
        small = np.ascontiguousarray(array[step])
        made = group.create_array(
            str(level), shape=small.shape, dtype=small.dtype,
            chunks=tuple(min(s, 16) for s in small.shape),
        )  # fmt: skip
        made[...] = small
        steps = [scale[n] * (2**level if n in "yx" else 1) for n in names]
        datasets.append({"path": str(level), "coordinateTransformations": [
            {"type": "scale", "scale": steps},
            {"type": "translation", "translation": [start[n] for n in names]},
        ]})  # fmt: skip
    multiscale = {"name": "it", "axes": axes(names), "datasets": datasets, **(said or {})}
    if version == "0.5":
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], **(more or {})}
    else:
        group.attrs.update({"multiscales": [{"version": "0.4", **multiscale}], **(more or {})})
    return path


class TestReading:
    @BOTH
    def test_everything(self, tmp_path: Path, version: str) -> None:
        omero = {"omero": {"channels": [{"label": n} for n in ("DAPI", "GFP", "RFP")]}}
        found = io.read(make(tmp_path / "a.ome.zarr", version=version, more=omero))
        np.testing.assert_array_equal(found.numpy(), VOXELS)
        assert found.leading == "tc"
        assert found.channel_names == ("DAPI", "GFP", "RFP")
        assert found.time_step == 0.25
        assert found.name == "a"
        assert found.grid == Grid.from_spacing(
            (8, 30, 41), (2, 0.5, 0.25), unit="µm", origin=(10, 20, 30)
        )
        pyramid = found.meta["ome_zarr"]
        assert [level.shape for level in pyramid.levels] == [
            (2, 3, 8, 30, 41), (2, 3, 8, 15, 21)
        ]  # fmt: skip
        assert (pyramid.axes, pyramid.levels[1].path) == ("tczyx", "1")

    @pytest.mark.parametrize(
        ("names", "shape", "leading", "spatial"),
        [("yx", (5, 7), "", (5, 7)), ("zyx", (3, 5, 7), "", (3, 5, 7)),
         ("cyx", (2, 5, 7), "c", (5, 7)), ("tyx", (2, 5, 7), "t", (5, 7)),
         ("tczyx", (1, 1, 3, 5, 7), "", (3, 5, 7)), ("tczyx", (1, 2, 1, 5, 7), "c", (1, 5, 7))],
        ids=str,
    )  # fmt: skip
    def test_axes(self, tmp_path: Path, names: str, shape: Any, leading: str, spatial: Any) -> None:
        array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        found = io.read(make(tmp_path / "a.zarr", array, names))
        assert (found.leading, found.grid.shape) == (leading, spatial)
        np.testing.assert_array_equal(found.numpy().ravel(), array.ravel())

    def test_axes_in_another_order(self, tmp_path: Path) -> None:
        array = VOXELS[0, 0]
        found = io.read(make(tmp_path / "a.zarr", np.ascontiguousarray(array.T), "xyz"))
        np.testing.assert_array_equal(found.numpy(), array)
        assert found.grid.spacing == (2, 0.5, 0.25)

    def test_transformations_of_all_levels(self, tmp_path: Path) -> None:
        said = {"coordinateTransformations": [
            {"type": "scale", "scale": [2, 2, 2]}, {"type": "translation", "translation": [1, 1, 1]}
        ]}  # fmt: skip
        found = io.read(make(tmp_path / "a.zarr", VOXELS[0, 0], "zyx", said=said))
        assert found.grid == Grid.from_spacing(
            (8, 30, 41), (4, 1, 0.5), unit="µm", origin=(21, 41, 61)
        )

    def test_units(self, tmp_path: Path) -> None:
        array = VOXELS[0, 0]
        said = {"axes": axes("zyx", z="millimeter", y="nanometer", x="nanometer")}
        found = io.read(make(tmp_path / "a.zarr", array, "zyx", said=said))
        np.testing.assert_allclose(found.grid.spacing_in("nm"), (2e6, 0.5, 0.25))
        said = {"axes": axes("zyx", z="parsec", y="parsec", x="parsec")}
        make(tmp_path / "b.zarr", array, "zyx", said=said)
        with pytest.warns(VolumeWarning, match="'parsec' is not known"):
            assert io.read(tmp_path / "b.zarr").grid.unit == "pixel"

    @BOTH
    def test_lazily(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
        monkeypatch.setattr(ome_zarr, "LAZY_FROM", 0)
        found = io.read(make(tmp_path / "a.zarr", version=version))
        assert not isinstance(found.data, np.ndarray)
        np.testing.assert_array_equal(found.data[1, 2, 3:5, ::-2], VOXELS[1, 2, 3:5, ::-2])

    def test_series(self, tmp_path: Path) -> None:
        root = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
        root.attrs["bioformats2raw.layout"] = 3
        for number in range(11):
            make(tmp_path / "a.zarr" / str(number), VOXELS[0, 0] + number, "zyx", "0.4")
        found = io.read_all(tmp_path / "a.zarr")
        assert [v.name for v in found] == [f"a {n}" for n in range(11)]
        np.testing.assert_array_equal(found[10].numpy(), VOXELS[0, 0] + 10)
        np.testing.assert_array_equal(io.read(tmp_path / "a.zarr" / "2").numpy(), VOXELS[0, 0] + 2)

    def test_among_files(self, tmp_path: Path) -> None:
        make(tmp_path / "b.ome.zarr")
        io.write(tmp_path / "a.tif", Volume(np.zeros((4, 5)), Grid.from_spacing((4, 5))))
        assert [v.name for v in io.read_all(tmp_path)] == ["a", "b"]


class TestLabels:
    @pytest.mark.parametrize("kind", ["classes", "instances"])
    def test_alone(self, tmp_path: Path, kind: Any) -> None:
        classes = (LabelClass(1, "liver", "#ff0080"), LabelClass(2, "α", None))
        space = Grid.from_spacing((8, 30, 41), (2, 0.5, 0.25), unit="µm", origin=(1, 2, 3))
        array = (VOXELS[0, 0] % 3).astype(np.int32)
        volume = LabelVolume(array, space, classes=classes, kind=kind)
        io.write(tmp_path / "a.ome.zarr", volume)
        found = io.read(tmp_path / "a.ome.zarr")
        assert isinstance(found, LabelVolume)
        assert (found.classes, found.kind, found.grid) == (classes, kind, space)
        np.testing.assert_array_equal(found.numpy(), array)
        assert os.listdir(tmp_path) == ["a.ome.zarr"]

    @BOTH
    def test_in_the_group_of_an_image(self, tmp_path: Path, version: str) -> None:
        image = make(tmp_path / "a.ome.zarr", VOXELS[0, 0], "zyx", version, levels=3)
        volume = io.read(image)
        array = (VOXELS[0, 0] % 3).astype(np.uint8)
        labels = LabelVolume(array, volume.grid, classes=(LabelClass(2, "two", "#010203"),))
        for name in ("organs", "other", "organs"):
            io.write(image / "labels" / name, labels)
        assert sorted(n for n in os.listdir(image / "labels") if n[0] != "." and n[:5] != "zarr.") \
            == ["organs", "other"]  # fmt: skip
        found = io.read_all(image, labels=True)
        assert [v.name for v in found] == ["a organs", "a other"]
        assert found[0].grid == volume.grid
        assert isinstance(found[0], LabelVolume)
        assert found[0].classes == labels.classes
        np.testing.assert_array_equal(found[0].numpy(), array)
        group = zarr.open_group(str(image), mode="r")
        for level in "012":
            assert group[f"labels/organs/{level}"].shape == group[level].shape
        np.testing.assert_array_equal(group["labels/organs/2"][...], array[:, ::4, ::4])
        np.testing.assert_array_equal(io.read(image).numpy(), VOXELS[0, 0])  # it is as it was
        assert io.read(image / "labels" / "other").name == "other"
        listed = group["labels"].attrs.asdict()
        assert listed.get("ome", listed)["labels"] == ["organs", "other"]

    def test_the_json(self, tmp_path: Path) -> None:
        labels = LabelVolume(
            np.ones((2, 3, 4), np.uint8), Grid.from_spacing((2, 3, 4), (3, 2, 1), unit="mm"),
            classes=(LabelClass(1, "one", "#ff8000"),), name="name",
        )  # fmt: skip
        io.write(tmp_path / "a.ome.zarr", labels)
        said = json.loads((tmp_path / "a.ome.zarr" / "zarr.json").read_text())
        assert (said["zarr_format"], said["node_type"]) == (3, "group")
        assert said["attributes"]["ome"] == {
            "version": "0.5",
            "multiscales": [{
                "name": "name",
                "type": "stride",
                "axes": [{"name": n, "type": "space", "unit": "millimeter"} for n in "zyx"],
                "datasets": [{"path": "0", "coordinateTransformations": [
                    {"type": "scale", "scale": [3, 2, 1]}]}],
            }],
            "image-label": {
                "colors": [{"label-value": 1, "rgba": [255, 128, 0, 255]}],
                "properties": [{"label-value": 1, "name": "one"}],
            },
        }  # fmt: skip
        array = json.loads((tmp_path / "a.ome.zarr" / "0" / "zarr.json").read_text())
        assert array["dimension_names"] == ["z", "y", "x"]

    def test_the_json_of_version_4(self, tmp_path: Path) -> None:
        image = make(tmp_path / "a.ome.zarr", VOXELS[0, 0], "zyx", "0.4")
        classes = (LabelClass(1, "one", "#ff8000"), LabelClass(2, "two"))
        labels = LabelVolume(VOXELS[0, 0] % 3, io.read(image).grid, classes=classes)
        io.write(image / "labels" / "organs", labels)
        folder = image / "labels" / "organs"
        assert json.loads((folder / ".zgroup").read_text()) == {"zarr_format": 2}
        said = json.loads((folder / ".zattrs").read_text())
        assert said["multiscales"][0]["version"] == said["image-label"]["version"] == "0.4"
        assert said["multiscales"][0]["datasets"][1] == {
            "path": "1",
            "coordinateTransformations": [
                {"type": "scale", "scale": [2, 1, 0.5]},
                {"type": "translation", "translation": [10, 20, 30]},
            ],
        }
        assert said["image-label"]["source"] == {"image": "../../"}
        assert said["image-label"]["colors"][0] == {"label-value": 1, "rgba": [255, 128, 0, 255]}
        # Readers expect a colour of each class that has a name.
        assert [c["label-value"] for c in said["image-label"]["colors"]] == [1, 2]
        assert len(said["image-label"]["colors"][1]["rgba"]) == 4
        found = io.read(folder)
        assert isinstance(found, LabelVolume)
        assert found.classes == classes
        array = json.loads((folder / "0" / ".zarray").read_text())
        assert (array["zarr_format"], array["dimension_separator"]) == (2, "/")
        assert json.loads((image / "labels" / ".zattrs").read_text()) == {"labels": ["organs"]}

    @pytest.mark.parametrize("leading", ["", "t"])
    @pytest.mark.parametrize("shape", [(70, 600, 301), (1100, 700)], ids=["3d", "2d"])
    def test_levels(self, tmp_path: Path, shape: tuple[int, ...], leading: str) -> None:
        lead = (2,) * len(leading)
        array = np.random.default_rng(0).integers(0, 5, (*lead, *shape), dtype=np.uint16)
        spacing = (1.0, 0.5, 0.5)[-len(shape) :]
        labels = LabelVolume(array, Grid.from_spacing(shape, spacing, unit="µm"), leading)
        io.write(tmp_path / "a.ome.zarr", labels)
        group = zarr.open_group(str(tmp_path / "a.ome.zarr"), mode="r")
        datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
        assert len(datasets) == (3 if len(shape) == 3 else 4)
        for number, dataset in enumerate(datasets):
            steps = dataset["coordinateTransformations"][0]["scale"][len(lead) :]
            strides = [round(a / b) for a, b in zip(steps, spacing, strict=True)]
            assert strides[-1] == 2**number
            taken = array[(..., *(slice(None, None, s) for s in strides))]
            np.testing.assert_array_equal(group[dataset["path"]][...], taken)
        np.testing.assert_array_equal(io.read(tmp_path / "a.ome.zarr").numpy(), array)

    @pytest.mark.parametrize("odd", [(15, 20), (15, 21), (14, 20)], ids=str)
    def test_levels_that_an_image_has_rounded(self, tmp_path: Path, odd: Any) -> None:
        image = make(tmp_path / "a.ome.zarr", VOXELS[0, 0], "zyx", levels=1)
        group = zarr.open_group(str(image), mode="a")
        group.create_array("1", shape=(8, *odd), dtype="u2")
        said = dict(group.attrs["ome"])
        said["multiscales"][0]["datasets"].append({
            "path": "1", "coordinateTransformations": [{"type": "scale", "scale": [2, 1, 0.5]}],
        })  # fmt: skip
        group.attrs["ome"] = said
        array = (VOXELS[0, 0] % 3).astype(np.uint8)
        io.write(image / "labels" / "a", LabelVolume(array, io.read(image).grid))
        np.testing.assert_array_equal(
            group["labels/a/1"][...], array[:, : 2 * odd[0] : 2, : 2 * odd[1] : 2]
        )

    @pytest.mark.parametrize("codes", ["LPS", "RAS", "SRA"])
    def test_of_a_patient(self, tmp_path: Path, codes: str) -> None:
        space = grid((4, 5, 6), codes, (1, 2, 3))
        array = (np.arange(120) % 4).astype(np.uint8).reshape(4, 5, 6)
        io.write(tmp_path / "a.ome.zarr", LabelVolume(array, space))
        found = io.read(tmp_path / "a.ome.zarr")
        assert found.grid.anatomical
        for index in ((0, 0, 0), (3, 4, 5), (1, 2, 3)):
            there = np.rint(found.grid.world_to_index(space.index_to_world(index))).astype(int)
            assert found.numpy()[tuple(there)] == array[index]
        assert found.grid.is_close(space.oriented())

    def test_slab_by_slab(self, tmp_path: Path) -> None:
        class Counted:
            shape, dtype, most = (200, 40, 50), np.dtype(np.uint8), 0

            def __getitem__(self, key: Any) -> Any:
                block = np.zeros(self.shape, self.dtype)[key]
                Counted.most = max(Counted.most, block.size)
                return block

        io.write(tmp_path / "a.ome.zarr", LabelVolume(Counted(), Grid.from_spacing(Counted.shape)))
        assert 0 < Counted.most <= 32 * 40 * 50

    @pytest.mark.parametrize(
        ("volume", "message"),
        [
            (Volume(np.zeros((4, 5)), Grid.from_spacing((4, 5))), r"Only labels.*\.ome\.tif"),
            (LabelVolume(np.zeros((4, 5, 6), int), grid((4, 5, 6), tilt=0.28)),
             r"no grid that is turned or sheared: write \.nii\.gz"),
        ],
        ids=["image", "oblique"],
    )  # fmt: skip
    def test_refused(self, tmp_path: Path, volume: Volume, message: str) -> None:
        with pytest.raises(FormatError, match=message):
            io.write(tmp_path / "a.ome.zarr", volume)
        assert os.listdir(tmp_path) == []

    def test_an_image_is_not_replaced(self, tmp_path: Path) -> None:
        image = make(tmp_path / "a.ome.zarr", VOXELS[0, 0], "zyx")
        labels = LabelVolume(np.zeros((8, 30, 41), int), io.read(image).grid)
        with pytest.raises(WriteError, match=r"holds no labels: .*a\.ome\.zarr/labels/NAME"):
            io.write(image, labels)
        wrong = LabelVolume(np.zeros((8, 30, 40), int), Grid.from_spacing((8, 30, 40)))
        with pytest.raises(FormatError, match="do not fit an image"):
            io.write(image / "labels" / "x", wrong)
        np.testing.assert_array_equal(io.read(image).numpy(), VOXELS[0, 0])

    def test_a_failure_leaves_the_older_labels(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        array = np.ones((4, 5), np.uint8)
        io.write(tmp_path / "a.ome.zarr", LabelVolume(array, Grid.from_spacing((4, 5))))

        class FullDisk:
            shape, dtype = (4, 5), np.dtype(np.uint8)

            def __getitem__(self, key: Any) -> Any:
                raise OSError(28, "No space left on device")

        with pytest.raises(WriteError, match="No space left"):
            io.write(tmp_path / "a.ome.zarr", LabelVolume(FullDisk(), Grid.from_spacing((4, 5))))
        assert os.listdir(tmp_path) == ["a.ome.zarr"]
        np.testing.assert_array_equal(io.read(tmp_path / "a.ome.zarr").numpy(), array)

    def test_convert(self, tmp_path: Path) -> None:
        array = (np.arange(120) % 4).astype(np.uint8).reshape(4, 5, 6)
        io.write(tmp_path / "a.tif", LabelVolume(array, Grid.from_spacing((4, 5, 6))))
        source, target = str(tmp_path / "a.tif"), str(tmp_path / "b.ome.zarr")
        assert main(["convert", source, target, "--labels"]) == 0
        assert main(["convert", source, target, "--labels"]) != 0  # it exists
        assert main(["convert", source, target, "--labels", "--overwrite"]) == 0
        assert main(["convert", target, str(tmp_path / "c.npy")]) == 0
        np.testing.assert_array_equal(np.load(tmp_path / "c.npy"), array)
        image = make(tmp_path / "d.ome.zarr", array.astype(float), "zyx")
        assert main(["convert", source, str(image / "labels" / "organs"), "--labels"]) == 0
        np.testing.assert_array_equal(io.read(image, labels=True).numpy(), array)


class TestBroken:
    def broken(self, path: Path, change: Any) -> Path:
        make(path, VOXELS[0, 0], "zyx")
        said = json.loads((path / "zarr.json").read_text())
        change(said["attributes"]["ome"])
        (path / "zarr.json").write_text(json.dumps(said))
        return path

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda o: o.pop("multiscales"), "says nothing of multiscales"),
            (lambda o: o["multiscales"][0].pop("axes"), "says nothing of its axes"),
            (lambda o: o["multiscales"][0]["datasets"].clear(), "cannot be read"),
            (lambda o: o["multiscales"][0]["datasets"][0].update(path="9"), "lacks its array '9'"),
            (lambda o: o["multiscales"][0]["datasets"][0].update(path="../b.zarr/0"), "a.zarr"),
            (lambda o: o["multiscales"][0]["axes"].pop(), "has not 2 axes"),
            (lambda o: o["multiscales"][0]["axes"][0].update(type="other", name="q"), "the axes q"),
            (lambda o: o["multiscales"][0].update(
                coordinateTransformations=[{"type": "affine", "affine": [[1]]}]), "lack: .*affine"),
            (lambda o: o["multiscales"][0].update(
                coordinateTransformations=[{"type": "scale", "scale": [0, 1, 1]}]), "Spacing"),
            (lambda o: o["multiscales"][0].update(
                coordinateTransformations=[{"type": "scale", "scale": ["a", 1, 1]}]), "cannot be"),
            (lambda o: o.update(plate={}), "a plate or a well"),
        ],
    )  # fmt: skip
    def test_descriptions(self, tmp_path: Path, change: Any, message: str) -> None:
        make(tmp_path / "b.zarr", VOXELS[0, 0], "zyx")
        self.broken(tmp_path / "a.zarr", change)
        with pytest.raises(ReadError, match=message) as caught:
            io.read(tmp_path / "a.zarr")
        assert "\n" not in str(caught.value)

    def test_no_group(self, tmp_path: Path) -> None:
        (tmp_path / "a.zarr").mkdir()
        with pytest.raises(ReadError):
            io.read(tmp_path / "a.zarr")
        (tmp_path / "b.zarr").write_text("hello")
        with pytest.raises(ReadError, match="is not a folder, as OME-Zarr is"):
            io.read(tmp_path / "b.zarr")
        zarr.create_array(str(tmp_path / "c.zarr"), shape=(4, 5), dtype="u1")
        with pytest.raises(ReadError, match="one Zarr array"):
            io.read(tmp_path / "c.zarr")

    def test_chunks_larger_than_memory(self, tmp_path: Path) -> None:
        group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
        group.create_array("0", shape=(30000,) * 3, chunks=(30000,) * 3, dtype="u2")
        datasets = [{"path": "0"}]
        group.attrs["ome"] = {"multiscales": [{"axes": axes("zyx"), "datasets": datasets}]}
        with pytest.raises(ReadError, match="more than there is memory for"):
            io.read(tmp_path / "a.zarr")

    @BOTH
    @settings(max_examples=60)
    @given(data=st.data())
    def test_damaged_anywhere(
        self, tmp_path_factory: pytest.TempPathFactory, version: str, data: st.DataObject
    ) -> None:
        path = make(tmp_path_factory.mktemp("damaged") / "a.zarr", VOXELS[0, 0], "zyx", version)
        files = sorted(p for p in path.rglob("*") if p.is_file())
        # Half of the time where the image is described.
        described = [p for p in files if p.name in ("zarr.json", ".zattrs", ".zarray", ".zgroup")]
        file = data.draw(st.sampled_from(described) | st.sampled_from(files))
        content = bytearray(file.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            del content[at:]
        else:
            content[at] = data.draw(st.integers(0, 255))
        file.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(ReadError):
                volume = io.read(path)
                if volume.nbytes < 2**24:
                    volume.numpy()


def test_small_levels_are_not_made(tmp_path: Path) -> None:
    labels = LabelVolume(np.zeros((40, 256, 256), np.uint8), Grid.from_spacing((40, 256, 256)))
    assert ome_zarr_write._levels(labels) == ((40, 256, 256),)


class Counted:
    """Labels that are nowhere stored; it notes how many voxels were asked for at once."""

    dtype = np.dtype(np.uint16)

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.most = shape, 0

    def __getitem__(self, key: Any) -> Any:
        axes = np.ogrid[tuple(slice(n) for n in self.shape)]
        cut = [axis[(0,) * i + (k,)] for i, (axis, k) in enumerate(zip(axes, key, strict=True))]
        block = sum(
            (n + 1) * a.reshape([-1 if i == j else 1 for j in range(len(key))])
            for i, (n, a) in enumerate(zip(self.shape, cut, strict=True))
        )
        self.most = max(self.most, block.size)
        return (block % 2**16).astype(self.dtype)


@pytest.mark.parametrize(
    "shape", [(70, 300, 600), (3, 1100, 530), (1030, 2100)], ids=["thick", "thin", "picture"]
)
def test_labels_are_streamed_in_small_blocks(
    shape: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ome_zarr_write, "_BLOCK", 2**22)
    source = Counted(shape)
    labels = LabelVolume(source, Grid.from_spacing(shape, (1.0,) * len(shape), unit="µm"))
    io.write(tmp_path / "a.ome.zarr", labels)
    assert source.most * 2 <= 2**22
    group = zarr.open_group(str(tmp_path / "a.ome.zarr"), mode="r")
    expected = source[tuple(slice(None) for _ in shape)]
    for dataset in group.attrs["ome"]["multiscales"][0]["datasets"]:
        level = group[dataset["path"]]
        scale = dataset["coordinateTransformations"][0]["scale"]
        step = tuple(slice(None, None, int(s)) for s in scale)
        np.testing.assert_array_equal(level[...], expected[step])
    assert int(scale[-1]) > 1
