"""The few functions in bundles' postprocessing that are known by their text, and never run."""

from __future__ import annotations

import ast

from .bundle_values import Function


def parameter(function: Function) -> str:
    """Return the name of a function's only parameter, ``""`` where it has not just one."""
    arguments = function.node.args
    plain = len(arguments.args) == 1 and not (
        arguments.posonlyargs or arguments.kwonlyargs or arguments.vararg or arguments.kwarg
    )
    return arguments.args[0].arg if plain else ""


def drops_background(body: ast.expr, name: str) -> bool:
    """Whether it is ``x[1:]``."""
    return ast.unparse(body) == f"{name}[1:]"


def chosen_channels(body: ast.expr, name: str) -> tuple[int, ...]:
    """Return the channels of ``x[[2, 0]]``."""
    if not (isinstance(body, ast.Subscript) and isinstance(body.slice, ast.List)):
        return ()
    values = [item.value for item in body.slice.elts if isinstance(item, ast.Constant)]
    channels = tuple(value for value in values if type(value) is int)
    return channels if name and ast.unparse(body) == f"{name}[{list(channels)}]" else ()


def highest_above(threshold: float) -> str:
    """Return the expression of the most probable channel above a threshold, or 0."""
    return (
        f"lambda x: torch.where(x.max(0, keepdim=True)[0] >= {threshold!r}, "
        "x.argmax(0, keepdim=True) + 1, 0)"
    )


def threshold_of_highest(body: ast.expr, name: str) -> float | None:
    """Return the threshold of the expression of `highest_above`."""
    try:
        threshold = body.args[0].comparators[0].value  # type: ignore[attr-defined]
    except (AttributeError, IndexError):
        return None
    text = f"lambda {name}: {ast.unparse(body)}"
    return threshold if type(threshold) is float and text == highest_above(threshold) else None


def nested_where(body: ast.expr, name: str) -> list[tuple[int, int]] | None:
    """Return (channel, number) of ``torch.where(x[[c]] > 0, n, torch.where(...))``, outer first."""
    pairs: list[tuple[int, int]] = []
    while not (isinstance(body, ast.Constant) and body.value == 0):
        if not (
            isinstance(body, ast.Call)
            and ast.unparse(body.func) == "torch.where"
            and len(body.args) == 3
            and not body.keywords
        ):
            return None
        test, number, body = body.args
        channel = _positive_channel(test, name)
        if channel is None or not (isinstance(number, ast.Constant) and type(number.value) is int):
            return None
        pairs.append((channel, number.value))
    return pairs or None


def _positive_channel(test: ast.expr, name: str) -> int | None:
    """Return c of ``x[[c]] > 0``."""
    if not (isinstance(test, ast.Compare) and isinstance(test.left, ast.Subscript)):
        return None
    index = test.left.slice
    item = index.elts[0] if isinstance(index, ast.List) and len(index.elts) == 1 else None
    if not (isinstance(item, ast.Constant) and type(item.value) is int):
        return None
    wanted = f"{name}[[{item.value}]] > 0"
    return item.value if name and ast.unparse(test) == wanted else None
