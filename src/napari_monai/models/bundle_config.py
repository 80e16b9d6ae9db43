"""The configuration files of a MONAI bundle, read as data: references, macros, no code.

MONAI's own parser hands ``$...`` to ``eval`` and builds every ``_target_``. This one builds
nothing: a ``_target_`` comes back as a `Component` that knows its name and its arguments, and
expressions go through `napari_monai.models.bundle_expressions`. Values are worked out when they
are asked for, so that what nobody needs (paths of data, devices) may be any code at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import ModelError
from .bundle_expressions import evaluate, size
from .bundle_values import Component

_LARGEST_FILE = 8 * 2**20
_DEEPEST = 60
_MOST_VALUES = 300_000
SUFFIXES = (".json", ".yaml", ".yml")
# Files of every bundle, in its folder "configs": what it is, and how it runs.
METADATA = "metadata.json"
CONFIG = "inference"
_RELATIVE = re.compile(r"[@%](?:::)+")
_FILE = re.compile(r"^(.*?\.(?:json|yaml|yml))(?:::(.*))?$", re.IGNORECASE)
_SKIPPED = ("_target_", "_desc_", "_disabled_", "_mode_", "_requires_")


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML is untyped
    """YAML of plain values, without the merges that multiply what they merge."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge one mapping into another, but no list of them."""
        merged = [v for k, v in node.value if k.tag == "tag:yaml.org,2002:merge"]
        if len(merged) > 1 or any(isinstance(v, yaml.SequenceNode) for v in merged):
            raise yaml.constructor.ConstructorError(
                None, None, "merges of several mappings are not read", node.start_mark
            )
        super().flatten_mapping(node)


def read_config_file(file: Path) -> dict[str, Any]:
    """Return the mapping in a JSON or YAML file; nothing in it is worked out.

    Raises ModelError if it is too large, damaged or holds anything but plain values.
    """
    cure = "get the bundle again."
    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise ModelError(f"{file} has more than {_LARGEST_FILE >> 20} MB: it is no config.")
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{file} cannot be read ({error}): {cure}") from None
    try:
        values = json.loads(text) if file.suffix.lower() == ".json" else yaml.load(text, _Loader)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        line = " ".join(str(error).split())[:160]
        raise ModelError(f"{file} is no plain {file.suffix[1:]} ({line}): {cure}") from None
    if not isinstance(values, dict):
        raise ModelError(f"{file} holds no mapping: {cure}")
    return values


class Config:
    """The merged configuration of a bundle.

    Parameters
    ----------
    root
        Folder of the bundle; macros read files inside it only.
    files
        Configuration files; later ones override or, with ``+`` before a key, add.
    metadata
        What ``@_meta_`` refers to.
    """

    def __init__(
        self, root: Path, files: Sequence[Path], metadata: dict[str, Any] | None = None
    ) -> None:
        self.root = root
        self._folder = files[0].parent if files else root
        self._values: dict[str, Any] = {} if metadata is None else {"_meta_": metadata}
        for file in files:
            for key, value in read_config_file(file).items():
                self._merge(str(key), value)
        self._values["bundle_root"] = "."
        self._resolving: list[str] = []
        self._known: dict[str, Any] = {}
        self._depth = 0
        self._count = 0

    def __contains__(self, name: str) -> bool:
        try:
            self._raw(name)
        except (ModelError, RecursionError):
            return False
        return True

    def get(self, name: str, default: Any = None) -> Any:
        """Return what a name stands for, with references replaced.

        Raises ModelError where that takes code, or references run in a circle.
        """
        if name not in self:
            return default
        try:
            return self._resolve(name)
        except RecursionError:
            raise ModelError(f"{name} is nested too deeply to be read.") from None

    def _merge(self, key: str, value: Any) -> None:
        adding, name = key.startswith("+"), key.removeprefix("+").replace("#", "::")
        if adding and name in self:
            old = self._raw(name)
            if isinstance(old, dict) and isinstance(value, dict):
                old.update(value)
                return
            if isinstance(old, list) and isinstance(value, list):
                old.extend(value)
                return
            raise ModelError(f"the key {key!r} adds to {name}, which is of another kind.")
        above, _, last = name.rpartition("::")
        parent = self._raw(above) if above else self._values
        if isinstance(parent, dict):
            parent[last] = value
        elif isinstance(parent, list) and last.isdigit() and int(last) < len(parent):
            parent[int(last)] = value
        else:
            raise ModelError(f"the key {key!r} has nowhere to go.")

    def _raw(self, name: str) -> Any:
        """Return what is written under a name; macros on the way are followed."""
        value: Any = self._values
        way = ""
        for key in name.split("::") if name else ():
            if isinstance(value, str) and value.startswith("%"):
                value = self._macro(value, way)
            if isinstance(value, dict) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
                value = value[int(key)]
            else:
                raise ModelError(f"@{name} refers to nothing.")
            way = f"{way}::{key}" if way else key
        return value

    def _resolve(self, name: str) -> Any:
        if name in self._known:
            return self._known[name]
        if name in self._resolving:
            raise ModelError(f"@{name} refers to itself.")
        if len(self._resolving) > _DEEPEST:
            raise ModelError(f"@{name} refers to references too deeply.")
        self._resolving.append(name)
        try:
            value = self._value(self._raw(name), name)
        finally:
            self._resolving.pop()
        if size(value, _MOST_VALUES) > _MOST_VALUES:
            raise ModelError(f"@{name} grows too large.")
        self._known[name] = value
        return value

    def exists(self, path: str) -> bool:
        """Whether the bundle has a file; one outside of it is none."""
        file = (self.root / path).resolve()
        return file.is_relative_to(self.root.resolve()) and file.is_file()

    def _value(self, raw: Any, name: str) -> Any:
        """Return what is written with references, macros and expressions worked out."""
        self._count += 1
        if self._depth > _DEEPEST or self._count > _MOST_VALUES:
            raise ModelError(f"{name} is nested too deeply or too large to be read.")
        self._depth += 1
        try:
            if isinstance(raw, dict):
                if "_target_" in raw:
                    return self._component(raw, name)
                return {str(k): self._value(v, f"{name}::{k}") for k, v in raw.items()}
            if isinstance(raw, list):
                values = [self._value(v, f"{name}::{i}") for i, v in enumerate(raw)]
                return [
                    v for v, r in zip(values, raw, strict=True) if not (v is None and _builds(r))
                ]
            if isinstance(raw, str):
                return self._text(raw, name)
        finally:
            self._depth -= 1
        if raw is not None and not isinstance(raw, (bool, int, float)):
            raise ModelError(f"{name} holds a {type(raw).__name__}, which is no plain value.")
        return raw

    def _text(self, raw: str, name: str) -> Any:
        if not raw.startswith(("$", "@", "%")):
            return raw
        text = self._absolute(raw.replace("#", "::"), name)
        if text.startswith("$"):
            return evaluate(text[1:], self._resolve, self.exists)
        if text.startswith("%"):
            return self._value(self._macro(text, name), name)
        return self._resolve(text[1:]) if re.fullmatch(r"@\w+(?:::\w+)*", text) else raw

    def _absolute(self, text: str, name: str) -> str:
        """Replace ``@::key`` (beside this one) and ``@::::key`` (one level up) by full names."""
        way = name.split("::")

        def full(match: re.Match[str]) -> str:
            up = match.group().count("::")
            if up > len(way):
                raise ModelError(f"{text!r} in {name} refers to outside of the config.")
            return match.group()[0] + "".join(f"{key}::" for key in way[: len(way) - up])

        return _RELATIVE.sub(full, text)

    def _macro(self, text: str, name: str) -> Any:
        """Return what is written where a macro, ``%name`` or ``%file::name``, points."""
        self._count += 1
        if self._count > _MOST_VALUES:
            raise ModelError(f"{name} repeats itself too often to be read.")
        text = self._absolute(text.replace("#", "::"), name)[1:]
        found = _FILE.match(text)
        if not found:
            if text == name or name.startswith(f"{text}::"):
                raise ModelError(f"%{text} repeats itself.")
            return self._raw(text)
        path, rest = found[1], found[2] or ""
        for folder in (self._folder, self.root):
            file = (folder / path).resolve()
            if not file.is_relative_to(self.root.resolve()):
                raise ModelError(f"%{path} lies outside of the bundle.")
            if file.is_file():
                values: Any = read_config_file(file)
                for key in rest.split("::") if rest else ():
                    if not isinstance(values, dict) or key not in values:
                        raise ModelError(f"%{path} has no {rest}.")
                    values = values[key]
                return values
        raise ModelError(f"%{path} is not in the bundle.")

    def _component(self, raw: dict[str, Any], name: str) -> Component | None:
        if self._value(raw.get("_disabled_", False), f"{name}::_disabled_") not in (False, "False"):
            return None
        target = self._value(raw["_target_"], f"{name}::_target_")
        if not isinstance(target, str):
            raise ModelError(f"the _target_ of {name} is no name.")
        for key, plain in (("_mode_", "default"), ("_requires_", None)):
            if raw.get(key, plain) not in (plain, [], ""):
                raise ModelError(f"{target} in {name} asks for {key}, which is code to run.")
        keys = tuple(str(key) for key in raw if key not in _SKIPPED)

        def read(key: str) -> Any:
            try:
                return self._value(raw[key], f"{name}::{key}")
            except RecursionError:
                raise ModelError(f"{name} is nested too deeply to be read.") from None

        return Component(target, keys, read)


def _builds(raw: Any) -> bool:
    return isinstance(raw, dict) and "_target_" in raw
