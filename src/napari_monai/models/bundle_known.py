"""Classes in bundles' own code whose text is known, so that ours can do what they do.

The code is not run. It is recognised by the sum of its text, without comments and blank lines;
changed by a letter it is unknown.
"""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path
from typing import Literal

from .bundle_values import Component

Known = Literal["join", "lowest_wins"]

# Of the model zoo's renalStructures_CECT_segmentation, scripts/my_transforms.py.
_KNOWN: dict[str, Known] = {
    # Joins the channels of keys_merge to keys_out.
    "eabcf07c575685d64187504be56c48d579aded44495b9358252c7a8af29b1d34": "join",
    # Gives each voxel the lowest number, from 1 up, of the channels above the threshold.
    "24c555471a224ff4adf3602bcd95fa92247abacd8f22795cf458936ded7103af": "lowest_wins",
}
_LARGEST = 2**20


def known_code(component: Component, root: Path) -> Known | None:
    """Return what a class of a bundle's own does, ``None`` where that is not known."""
    module, _, name = component.target.rpartition(".")
    file = root.joinpath(*module.split(".")).with_suffix(".py")
    inside = file.resolve().is_relative_to(root.resolve())
    if not module or not inside or not file.is_file() or file.stat().st_size > _LARGEST:
        return None
    try:
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _KNOWN.get(text_sum(ast.get_source_segment(text, node) or ""))
    return None


def text_sum(text: str) -> str:
    """Return the SHA-256 of a text's lines without comments, blank ones and spaces at the end."""
    lines = (line.rstrip() for line in text.splitlines())
    kept = [line for line in lines if line and not line.lstrip().startswith("#")]
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()
