"""The quick reading of headers: the same as pydicom's, or none at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from tests.io.dicom_files import slice_of

from napari_monai.io.dicom import elements
from napari_monai.io.dicom.values import calm

HEAD = 2**16


def by_pydicom(head: bytes) -> tuple[Dataset, int]:
    file = io.BytesIO(head)
    return pydicom.dcmread(file, stop_before_pixels=True, force=True), file.tell()


def assert_same(head: bytes) -> bool:
    """Check that both read the same; return whether the quick one has read anything."""
    with calm():
        try:
            found, end = elements.read(head)
        except Exception:  # whatever it raises: pydicom reads the file then
            return False
        expected, stop = by_pydicom(head)
        assert end == stop
        assert found.original_encoding == expected.original_encoding
        for one, other in ((found, expected), (found.file_meta, expected.file_meta)):
            assert list(one.keys()) == list(other.keys())
            for tag in other.keys():  # noqa: SIM118 (a dataset is no dict)
                left, right = one.get_item(tag), other.get_item(tag)
                if isinstance(right, pydicom.DataElement) and not isinstance(left, type(right)):
                    left = one[tag]  # pydicom has looked at it already
                assert _equal(left, right), tag
    return True


def _equal(left: object, right: object) -> bool:
    try:
        return left == right
    except NotImplementedError:  # damaged deep inside: neither can be converted, so none compared
        return type(left) is type(right)


def encoded(made: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    made.file_meta.TransferSyntaxUID = syntax
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


def with_sequences(*, undefined: bool) -> Dataset:
    inner, item, made = Dataset(), Dataset(), slice_of()
    inner.CodeMeaning = "Müller"
    item.PatientName, item.PurposeOfReferenceCodeSequence = "Jörg", [inner]
    made.SpecificCharacterSet = "ISO_IR 192"
    made.ReferencedImageSequence = Sequence([item, item])
    made["ReferencedImageSequence"].is_undefined_length = undefined
    item["PurposeOfReferenceCodeSequence"].is_undefined_length = undefined
    item.is_undefined_length_sequence_item = undefined
    block = made.private_block(0x0019, "MAKER", create=True)
    block.add_new(1, "UN", b"\1\2\3\4")
    block.add_new(2, "FD", [1.5, 2.5])
    made.add_new(0x00081030, "LO", "")
    return made


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("undefined", [False, True], ids=["lengths", "delimiters"])
def test_headers_are_read_as_pydicom_does(syntax: str, undefined: bool) -> None:
    head = encoded(with_sequences(undefined=undefined), syntax)
    assert assert_same(head)
    found, _ = elements.read(head)
    assert found.ReferencedImageSequence[1].PatientName == "Jörg"


def test_pydicoms_own_files_are_read_as_it_does() -> None:
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    paths = sorted(folder.glob("*.dcm"))
    read = sum(assert_same(p.read_bytes()[:HEAD]) for p in paths)
    assert read > len(paths) / 2 > 10


def test_shared_files_are_read_as_pydicom_does(shared_data: Path) -> None:
    folders = [p for p in sorted((shared_data / "dicom").iterdir()) if p.is_dir()]
    firsts = [next(p for p in sorted(f.rglob("*")) if p.is_file()) for f in folders]
    assert sum(assert_same(p.read_bytes()[:HEAD]) for p in firsts) > 5


HEADS = [
    encoded(with_sequences(undefined=undefined), syntax)
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    for undefined in (False, True)
]


@settings(max_examples=400)
@given(
    head=st.sampled_from(HEADS),
    changes=st.lists(st.tuples(st.integers(128, 1400), st.binary(min_size=1, max_size=4))),
    end=st.integers(100, 2000),
)
def test_damaged_headers_are_read_as_pydicom_does_or_left_to_it(
    head: bytes, changes: list[tuple[int, bytes]], end: int
) -> None:
    damaged = bytearray(head)
    for at, new in changes:
        damaged[at : at + len(new)] = new
    assert_same(bytes(damaged[:end]))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda made: encoded(made)[132:], id="no preamble"),
        pytest.param(lambda made: encoded(made)[:600], id="goes on"),
        pytest.param(lambda made: encoded(made, "1.2.840.10008.1.2.2"), id="big endian"),
        pytest.param(lambda made: encoded(made, "1.2.840.10008.1.2.1.99"), id="deflated"),
        pytest.param(lambda _made: b"", id="empty"),
    ],
)
def test_what_is_not_plain_is_left_to_pydicom(change: Any) -> None:
    with pytest.raises(elements.NotPlain):
        elements.read(change(slice_of()))
