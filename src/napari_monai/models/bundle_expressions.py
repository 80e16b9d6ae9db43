"""The expressions of MONAI bundles that are plain data, worked out without running any code.

A bundle may write ``$`` and any Python after it. What stands here walks the syntax tree and
knows constants, arithmetic, comparisons, displays, a choice (``a if b else c``), a few functions
of plain values, the names of number types, and nothing else: no attribute is ever looked up and
nothing is called that this module does not list. Sizes and steps are capped.
"""

from __future__ import annotations

import ast
import math
import operator
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import ModelError
from .bundle_values import Component, Function, Stored, Symbol

_MOST_STEPS = 200_000
_MOST_ITEMS = 100_000
_MOST_BITS = 256
_LONGEST = 4_000
# A reference inside an expression: "@name", "@name::key::0".
REFERENCE = re.compile(r"@\w*(?:::\w*)*")
_MARK = "__reference_"

Arithmetic = Callable[[Any, Any], Any]
_OPERATORS: Mapping[type[ast.operator], Arithmetic] = {
    ast.Sub: operator.sub,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: Mapping[type[ast.cmpop], Arithmetic] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_TYPE = re.compile(
    r"(?:torch|numpy|np)\.(?:float(?:16|32|64)?|half|double|u?int(?:8|16|32|64)?|long|short|bool)"
)
# MONAI's names for the entries of a batch.
_COMMON_KEYS = {"IMAGE": "image", "LABEL": "label", "PRED": "pred", "LOSS": "loss"}
_COMMON = re.compile(r"(?:monai\.utils\.(?:enums\.)?)?CommonKeys\.(\w+)")
_PARTS = re.compile(r"monai\.(?:networks\.nets|transforms|inferers)\.(?:\w+\.)*\w+")


def size(value: Any, most: int = _MOST_ITEMS) -> int:
    """Return how many values a nested value holds, counting no further than past ``most``."""
    count, waiting = 0, [value]
    while waiting and count <= most:
        item = waiting.pop()
        count += 1
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, (list, tuple)):
            waiting.extend(item)
    return count


def evaluate(
    text: str, resolve: Callable[[str], Any], exists: Callable[[str], bool] = lambda _: False
) -> Any:
    """Return what an expression, without its ``$``, comes to.

    Parameters
    ----------
    text
        The expression; ``@name`` and ``@name::key`` in it are references.
    resolve
        Gives the value of a reference by its name.
    exists
        Whether the bundle has a file.

    Raises
    ------
    ModelError
        If it needs code, is no expression, or grows too large.
    """
    plain = text.replace("#", "::")
    if len(plain) > _LONGEST:
        raise ModelError(f"the expression {_short(text)} is too long to be read.")
    names: dict[str, str] = {}

    def mark(match: re.Match[str]) -> str:
        return names.setdefault(match.group()[1:], f"{_MARK}{len(names)}")

    try:
        tree = ast.parse(REFERENCE.sub(mark, plain).strip(), mode="eval")
        back = {name: reference for reference, name in names.items()}
        return _Walk(text, back, resolve, exists).value(tree.body)
    except ModelError:
        raise
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"the expression {_short(text)} cannot be read ({line}).") from None
    except (TypeError, KeyError, IndexError, ArithmeticError) as error:
        raise ModelError(f"the expression {_short(text)} has no value ({error}).") from None


def dotted(node: ast.expr) -> str | None:
    """Return ``a.b.c`` for a chain of plain names, ``None`` for anything else."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id.startswith(_MARK):
        return None
    return ".".join([node.id, *reversed(parts)])


def _short(text: str) -> str:
    return repr("$" + text if len(text) <= 70 else "$" + text[:67] + "...")


class _Walk:
    """One expression being worked out."""

    def __init__(
        self,
        text: str,
        names: Mapping[str, str],
        resolve: Callable[[str], Any],
        exists: Callable[[str], bool],
    ) -> None:
        self.text = text
        self.names = names
        self.resolve = resolve
        self.exists = exists
        self.steps = 0

    def refuse(self, what: str) -> ModelError:
        return ModelError(f"the expression {_short(self.text)} needs code to run ({what}).")

    def value(self, node: ast.expr) -> Any:
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise ModelError(f"the expression {_short(self.text)} takes too many steps.")
        visit = getattr(self, f"_{type(node).__name__.lower()}", None)
        if visit is None:
            raise self.refuse(type(node).__name__)
        return self.checked(visit(node))

    def checked(self, value: Any) -> Any:
        """Return a value that is not too large."""
        large = type(value) is int and value.bit_length() > _MOST_BITS
        if large or (isinstance(value, str) and len(value) > _MOST_ITEMS):
            raise self.too_large()
        if isinstance(value, (list, dict)):
            count = size(value)
            self.steps += count
            if count > _MOST_ITEMS:
                raise self.too_large()
        return value

    def too_large(self) -> ModelError:
        return ModelError(f"the expression {_short(self.text)} grows too large.")

    def _constant(self, node: ast.Constant) -> Any:
        if isinstance(node.value, str) and _MARK in node.value:
            raise self.refuse("a reference inside a text")
        if node.value is not None and not isinstance(node.value, (bool, int, float, str)):
            raise self.refuse(type(node.value).__name__)
        return node.value

    def _name(self, node: ast.Name) -> Any:
        if node.id in self.names:
            return self.resolve(self.names[node.id])
        raise self.refuse(f"the name {node.id}")

    def _lambda(self, node: ast.Lambda) -> Function:
        return Function(node, self.text)

    def _list(self, node: ast.List) -> list[Any]:
        return [self.value(item) for item in node.elts]

    def _tuple(self, node: ast.Tuple) -> list[Any]:
        return [self.value(item) for item in node.elts]

    def _dict(self, node: ast.Dict) -> dict[Any, Any]:
        if None in node.keys:
            raise self.refuse("**")
        keys = [self.value(key) for key in node.keys if key is not None]
        if not all(isinstance(key, (str, int)) for key in keys):
            raise self.refuse("a key that is neither a text nor a number")
        return dict(zip(keys, map(self.value, node.values), strict=True))

    def _ifexp(self, node: ast.IfExp) -> Any:
        return self.value(node.body if self.value(node.test) else node.orelse)

    def _boolop(self, node: ast.BoolOp) -> Any:
        stop = isinstance(node.op, ast.Or)
        result: Any = None
        for part in node.values:
            result = self.value(part)
            if bool(result) is stop:
                break
        return result

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        value = self.value(node.operand)
        if isinstance(node.op, ast.Not):
            return not value
        if isinstance(node.op, ast.Invert) or not isinstance(value, (int, float)):
            raise self.refuse(type(node.op).__name__)
        return -value if isinstance(node.op, ast.USub) else +value

    def _binop(self, node: ast.BinOp) -> Any:
        a, b = self.value(node.left), self.value(node.right)
        numbers = isinstance(a, (int, float)) and isinstance(b, (int, float))
        if isinstance(node.op, ast.Add):
            alike = any(isinstance(a, kind) and isinstance(b, kind) for kind in (str, list))
            if numbers or alike:
                return a + b
        elif isinstance(node.op, ast.Mult):
            return self._times(a, b)
        elif isinstance(node.op, ast.Pow) and numbers:
            return self._power(a, b)
        elif numbers and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](a, b)
        raise self.refuse(f"{type(node.op).__name__} of {type(a).__name__}, {type(b).__name__}")

    def _times(self, a: Any, b: Any) -> Any:
        if isinstance(a, int) and isinstance(b, (str, list)):
            a, b = b, a
        if isinstance(a, (str, list)) and isinstance(b, int):
            if len(a) * b > _MOST_ITEMS:
                raise self.too_large()
        elif not (isinstance(a, (int, float)) and isinstance(b, (int, float))):
            raise self.refuse(f"Mult of {type(a).__name__}, {type(b).__name__}")
        return a * b

    def _power(self, a: float, b: float) -> Any:
        if isinstance(a, int) and isinstance(b, int) and a.bit_length() * abs(b) > _MOST_BITS:
            raise self.too_large()
        result = a**b
        if isinstance(result, complex):
            raise self.refuse("a complex number")
        return result

    def _compare(self, node: ast.Compare) -> bool:
        left = self.value(node.left)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.value(right_node)
            if not _COMPARISONS[type(op)](left, right):
                return False
            left = right
        return True

    def _subscript(self, node: ast.Subscript) -> Any:
        value = self.value(node.value)
        if isinstance(node.slice, ast.Slice):
            ends = (node.slice.lower, node.slice.upper, node.slice.step)
            if not isinstance(value, (list, str)):
                raise self.refuse(f"a part of {type(value).__name__}")
            return value[slice(*(None if end is None else self.value(end) for end in ends))]
        key = self.value(node.slice)
        if isinstance(value, Stored) and isinstance(key, (str, int)):
            return Stored(value.path, (*value.keys, key))
        if not isinstance(value, (list, dict, str)):
            raise self.refuse(f"an item of {type(value).__name__}")
        return value[key]

    def _attribute(self, node: ast.Attribute) -> Any:
        name = dotted(node) or f"the attribute {node.attr}"
        common = _COMMON.fullmatch(name)
        if common and common[1] in _COMMON_KEYS:
            return _COMMON_KEYS[common[1]]
        if _TYPE.fullmatch(name):
            return Symbol(name)
        raise self.refuse(name)

    def _call(self, node: ast.Call) -> Any:
        name = dotted(node.func)
        if name is not None and _PARTS.fullmatch(name) and not node.args:
            return self._component(name, node.keywords)
        if name == "torch.cuda.is_available":
            return False
        if name == "torch.device":
            return Symbol(name)
        if name == "os.path.exists" and len(node.args) == 1:
            return self.exists(str(self.value(node.args[0])))
        if name == "torch.load" and node.args:
            path = self.value(node.args[0])
            if isinstance(path, str):
                return Stored(path)
        if name is not None and name in _FUNCTIONS and not node.keywords:
            return self._apply(_FUNCTIONS[name], [self.value(arg) for arg in node.args])
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("to", "cuda", "cpu", "eval"):
            # A network is moved about: which one it is stays the same.
            value = self.value(node.func.value)
            if isinstance(value, Component):
                return value
        raise self.refuse(name or "a call")

    def _apply(self, function: Callable[..., Any], values: Sequence[Any]) -> Any:
        if any(isinstance(v, (Symbol, Stored, Component, Function)) for v in values) and (
            function is not _same
        ):
            raise self.refuse("a function of what is no plain value")
        return function(*values)

    def _component(self, name: str, keywords: Sequence[ast.keyword]) -> Component:
        nodes: dict[str, ast.expr] = {}
        for keyword in keywords:
            if keyword.arg is None:
                raise self.refuse("**")
            nodes[keyword.arg] = keyword.value
        return Component(name, tuple(nodes), lambda key: self.value(nodes[key]))


def _same(value: Any) -> Any:
    return value


def _range(*ends: Any) -> list[int]:
    numbers = range(*ends)
    if len(numbers) > _MOST_ITEMS:
        raise ValueError("a range of too many numbers")
    return list(numbers)


def _sum(values: Any) -> Any:
    if not all(isinstance(v, (int, float)) for v in values):
        raise TypeError("sum is of numbers")
    return math.fsum(values) if any(isinstance(v, float) for v in values) else sum(values)


def _str(value: Any) -> str:
    if isinstance(value, (list, dict)):
        raise TypeError("str is of a number or a text")
    return str(value)


def _round(value: Any, digits: Any = None) -> Any:
    if digits is not None and not -20 <= digits <= 20:
        raise ValueError("round takes up to 20 digits")
    return round(value, digits)


def _join(*parts: Any) -> str:
    if not all(isinstance(part, str) for part in parts):
        raise TypeError("os.path.join is of texts")
    joined: str = posixpath.join(*parts)
    return joined


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs,
    "bool": bool,
    "float": float,
    "int": int,
    "len": len,
    "list": list,
    "max": max,
    "min": min,
    "range": _range,
    "round": _round,
    "sorted": sorted,
    "str": _str,
    "sum": _sum,
    "tuple": list,
    "os.path.join": _join,
    "copy.deepcopy": _same,
    "torch.from_numpy": _same,
    "torch.tensor": _same,
    "torch.as_tensor": _same,
    "numpy.array": _same,
    "np.array": _same,
}
