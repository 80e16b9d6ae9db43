"""The elements of a header as pydicom reads them, several times as fast, where they lie plainly.

A series of 500 slices has 80 000 elements, and pydicom makes some ten calls for each. Whatever is
out of the ordinary is left to it: a whole file, or an element whose length is not said.
"""

from __future__ import annotations

import io
from struct import Struct
from typing import Any, cast

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import RawDataElement, empty_value_for_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import data_element_generator
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    PrivateTransferSyntaxes,
)
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR
from pydicom.values import convert_string

# Pixel data, and its float and double forms: where the header ends.
VOXELS = (0x7FE00010, 0x7FE00008, 0x7FE00009)

_START = 132
_SYNTAX = BaseTag(0x00020010)
_CHARACTERS = BaseTag(0x00080005)
_UNDEFINED = 0xFFFFFFFF
_KNOWN = {vr.value.encode(): vr.value for vr in VR}
_LONG = frozenset(code for code, vr in _KNOWN.items() if vr in EXPLICIT_VR_LENGTH_32)
_head = Struct("<HH2sH").unpack_from
_length = Struct("<I").unpack_from
_OTHERS = (ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, *PrivateTransferSyntaxes)

Elements = dict[BaseTag, Any]


class NotPlain(Exception):  # noqa: N818 (never at the user)
    """A header for pydicom to read."""


def read(head: bytes) -> tuple[Dataset, int]:
    """Return the elements before the voxels, and the byte at which the element of these starts.

    Parameters
    ----------
    head
        The first bytes of a file.

    Raises
    ------
    NotPlain
        If it has no preamble, does not say how it is encoded, or goes on behind these bytes.
    """
    if head[_START - 4 : _START] != b"DICM":
        raise NotPlain
    meta, start = _scanned(head, _START, implicit=False, group=2)
    said = meta.get(_SYNTAX)
    syntax = said.value.decode("ascii", "replace").rstrip("\0 ") if said and said.value else ""
    first = head[start + 4 : start + 6]
    implicit = syntax == ImplicitVRLittleEndian
    if not syntax or syntax in _OTHERS or (implicit and first in _KNOWN):
        raise NotPlain
    elements, end = _scanned(head, start, implicit=implicit)
    dataset = Dataset(elements)
    dataset.set_original_encoding(implicit, True)
    dataset.file_meta = FileMetaDataset(meta)
    return dataset, end


def _scanned(
    head: bytes, at: int, *, implicit: bool, group: int | None = None
) -> tuple[Elements, int]:
    """Return the elements of one group or those up to the voxels, and where the next one is."""
    found: Elements = {}
    size = len(head) - 12  # of the longest description of an element
    before = 0
    while at <= size:
        one, element, code, length = _head(head, at)
        tag = one << 16 | element
        if tag in VOXELS or (group is not None and one != group):
            return found, at
        start = at + 8
        if implicit:
            vr = None
            (length,) = _length(head, at + 4)
        else:
            vr = _KNOWN.get(code)
            if vr is None:
                raise NotPlain
            if code in _LONG:
                (length,) = _length(head, start)
                start += 4
        if tag <= before or tag > VOXELS[0] or one == 0:
            raise NotPlain
        before = tag
        if length == _UNDEFINED:
            at = _by_pydicom(head, at, found, implicit=implicit)
            continue
        at = start + length
        value = head[start:at] if length else cast(bytes, empty_value_for_VR(vr, raw=True))
        known = BaseTag(tag)
        found[known] = RawDataElement(known, vr, length, value, start, implicit, True)
    raise NotPlain


def _by_pydicom(head: bytes, at: int, found: Elements, *, implicit: bool) -> int:
    """Add the element at a byte, as pydicom reads it; return where the next one is."""
    file = io.BytesIO(head)
    file.seek(at)
    characters = found.get(_CHARACTERS)
    encoding: Any = default_encoding
    if characters is not None:
        encoding = convert_encodings(convert_string(characters.value or b"", True))
    element = next(data_element_generator(file, implicit, True, encoding=encoding))
    found[element.tag] = element
    return file.tell()
