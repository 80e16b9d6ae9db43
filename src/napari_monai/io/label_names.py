"""Names and colours of classes in formats that have room for a text, but no field of their own.

TIFF keeps them as an OME map annotation. NIfTI keeps the table that Connectome Workbench defined
(extension 30, "Caret"), which other programs read too; it has no word for objects, so that of
instances nothing is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

from ..volume import LabelClass, LabelKind, LabelVolume

NAMESPACE = "napari-monai/labels"
# What a reader found of classes, in the meta of a volume, for when it is read as labels.
KEY = "labels"
CARET = 30
# How classes are that are not seen, or not to be changed.
STATES = ("hidden", "locked")

Found = tuple[tuple[LabelClass, ...], LabelKind]

# A table of so many bytes names more classes than there are numbers.
_MOST = 2**24


def to_map(labels: LabelVolume) -> dict[str, Any]:
    """Return the metadata with which tifffile writes a map annotation."""
    values = {str(c.number): f"{c.colour or '-'} {c.name}" for c in labels.classes}
    values |= {key: " ".join(map(str, numbers)) for key, numbers in states_of(labels).items()}
    return {"MapAnnotation": {"Namespace": NAMESPACE, "Value": {"kind": labels.kind, **values}}}


def from_ome(root: ElementTree.Element) -> Found | None:
    """Return the classes in OME-XML, if it says any."""
    for note in root.findall("{*}StructuredAnnotations/{*}MapAnnotation"):
        if note.get("Namespace") == NAMESPACE:
            said = {m.get("K", ""): m.text or "" for m in note.findall("{*}Value/{*}M")}
            kind: LabelKind = "instances" if said.pop("kind", "") == "instances" else "classes"
            states = {key: said.pop(key, "").split() for key in STATES}
            classes = _classes({n: tuple(text.partition(" ")[::2]) for n, text in said.items()})
            return with_states(classes, states), kind
    return None


def to_caret(labels: LabelVolume) -> bytes:
    """Return the label table of a NIfTI extension; empty where there is nothing to say."""
    if labels.kind != "classes" or not labels.classes:
        return b""
    root = ElementTree.Element("CaretExtension")
    volume = ElementTree.SubElement(root, "VolumeInformation", Index="0")
    table = ElementTree.SubElement(volume, "LabelTable")
    for one in labels.classes:
        told = {"Key": str(one.number), "Alpha": "1"}
        if one.colour is not None:
            for at, name in enumerate(("Red", "Green", "Blue")):
                told[name] = f"{int(one.colour[1 + 2 * at : 3 + 2 * at], 16) / 255:.6f}"
        ElementTree.SubElement(table, "Label", told).text = one.name
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def from_caret(content: bytes) -> Found | None:
    """Return the classes in a NIfTI extension; ``None`` if it is damaged, or has no table."""
    text = content.rstrip(b"\0")
    if len(text) > _MOST or b"<!ENTITY" in text:
        return None
    try:
        table = ElementTree.fromstring(text).find("VolumeInformation/LabelTable")
    except ElementTree.ParseError:
        return None
    if table is None:
        return None
    said: dict[str, tuple[str, str]] = {}
    for label in table.findall("Label"):
        parts = [label.get(name) for name in ("Red", "Green", "Blue")]
        try:
            levels = [round(255 * float(p)) for p in parts if p is not None]
        except (ValueError, OverflowError):
            levels = []
        right = len(levels) == 3 and all(0 <= n <= 255 for n in levels)
        colour = "#" + "".join(f"{n:02x}" for n in levels) if right else "-"
        said[label.get("Key", "")] = (colour, (label.text or "").strip())
    classes = _classes(said)
    return (classes, "classes") if classes else None


def states_of(labels: LabelVolume) -> dict[str, list[int]]:
    """Return the numbers of classes that are hidden, and locked; no key where there is none."""
    numbers = {
        "hidden": [c.number for c in labels.classes if not c.visible],
        "locked": [c.number for c in labels.classes if c.locked],
    }
    return {key: some for key, some in numbers.items() if some}


def with_states(classes: Sequence[LabelClass], said: Mapping[str, Any]) -> tuple[LabelClass, ...]:
    """Return classes hidden and locked as `states_of` said; nonsense is left out."""
    hidden, locked = (
        {str(n) for n in numbers} if isinstance(numbers := said.get(key), list) else set()
        for key in STATES
    )
    return tuple(
        replace(c, visible=str(c.number) not in hidden, locked=str(c.number) in locked)
        for c in classes
    )


def _classes(said: Mapping[str, Sequence[str]]) -> tuple[LabelClass, ...]:
    """Return the classes from numbers to colours and names; background and nonsense are left."""
    found = []
    for number, (colour, name) in said.items():
        if number.isascii() and number.isdigit() and 0 < int(number) < 2**31 and name:
            found.append(LabelClass(int(number), name, None if colour == "-" else colour))
    return tuple(found)
