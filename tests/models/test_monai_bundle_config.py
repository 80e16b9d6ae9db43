"""The restricted reader: values as MONAI's own parser has them, and no code at all."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from napari_monai.errors import ModelError
from napari_monai.models.bundle_config import Config, read_config_file
from napari_monai.models.bundle_expressions import evaluate
from napari_monai.models.bundle_values import Component, Function, Stored, Symbol


def config(folder: Path, *values: dict[str, Any] | str) -> Config:
    """Return the configuration of files with these contents."""
    files = []
    for number, value in enumerate(values):
        suffix = "yaml" if isinstance(value, str) else "json"
        file = folder / f"part{number}.{suffix}"
        file.write_text(value if isinstance(value, str) else json.dumps(value))
        files.append(file)
    return Config(folder, files, {"version": "0.1.0", "formats": {"n": 2}})


def monai_value(files: list[Path], name: str) -> Any:
    """Return what MONAI's own parser makes of a name: the oracle, for contents that are safe."""
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config([str(file) for file in files])
    return parser.get_parsed_content(name)


PLAIN = {
    "number": "$1 + 2 * 3",
    "power": "$2 ** 10 - 7 // 2 + 7 % 4 - 1 / 4",
    "negative": "$-3",
    "text": "$'model' + '.pt'",
    "repeat": "$[0, 1] * 2",
    "choice": "$[1.5, 1.5] if @flag else [3.0]",
    "flag": True,
    "not": "$not @flag",
    "both": "$@flag and @number > 6",
    "either": "$@flag or @missing",
    "chain": "$1 < @number <= 7 != 8",
    "inside": "$'a' in {'a': 1}",
    "count": "$len(@labels) + 1",
    "labels": {"spleen": 1, "background": 0},
    "numbers": "$list(range(1, 7, 2))",
    "item": "$@labels['spleen']",
    "part": "$@numbers[1:]",
    "last": "$@numbers[-1]",
    "nested": {"key": "@labels#spleen", "list": ["@number", "@nested#key"]},
    "deep": "@nested::list::1",
    "mix": "$max(@number, 3) + min(1, 2) + abs(-2) + int('4') + round(2.6)",
    "dict": "${'a': @number, 'b': [@item]}",
    "hash": "$@nested#key + 1",
    "plain": "mail@somewhere",
    "joined": "$@one + @two",
    "one": [1],
    "two": ["@number"],
    "beside": {"a": 4, "b": "@#a", "c": "$@#a + 1"},
    "above": {"x": {"y": "@##z"}, "z": "above"},
}


@pytest.mark.parametrize("name", [k for k in PLAIN if k != "either"])
def test_values_are_those_of_monais_own_parser(name: str, tmp_path: Path) -> None:
    ours = config(tmp_path, PLAIN)
    safe = {k: v for k, v in PLAIN.items() if k != "either"}
    (tmp_path / "part0.json").write_text(json.dumps(safe))

    assert ours.get(name) == monai_value([tmp_path / "part0.json"], name)


def test_what_is_not_needed_is_not_looked_at(tmp_path: Path) -> None:
    assert config(tmp_path, PLAIN).get("either") is True


def test_later_files_override_and_add_as_in_monai(tmp_path: Path) -> None:
    first = {"a": 1, "list": [1], "map": {"x": 1, "y": [1, 2]}}
    second = "a: 2\n+list: [2, '@a']\n+map: {z: 3}\nmap#y#1: 5\n"
    ours = config(tmp_path, first, second)
    files = [tmp_path / "part0.json", tmp_path / "part1.yaml"]

    for name in ("a", "list", "map"):
        assert ours.get(name) == monai_value(files, name)
    assert ours.get("list") == [1, 2, 2]
    assert ours.get("map")["y"] == [1, 5]


def test_macros_copy_what_is_written(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(json.dumps({"net": {"size": "$2 + 3"}}))
    values = config(tmp_path, {"a": {"b": "$1 + 1"}, "c": "%a", "d": "%other.json#net"})

    assert values.get("c") == {"b": 2}
    assert values.get("d") == {"size": 5}
    assert values.get("d::size", "none") == 5


def test_metadata_and_the_root_can_be_referred_to(tmp_path: Path) -> None:
    values = config(
        tmp_path,
        {
            "bundle_root": "/somewhere/else",
            "path": "$@bundle_root + '/models/model.pt'",
            "version": "@_meta_::version",
        },
    )

    assert values.get("path") == "./models/model.pt"
    assert values.get("version") == "0.1.0"


def test_components_know_their_arguments_and_build_nothing(tmp_path: Path) -> None:
    values = config(
        tmp_path,
        {
            "size": 3,
            "off": {"_target_": "Spacingd", "_disabled_": "$@size == 3"},
            "net": {"_target_": "UNet", "channels": "$[@size] * 2", "bad": "$open('x')"},
            "moved": "$@net.to(torch.device('cpu'))",
            "copied": "$copy.deepcopy(@net)",
            "list": ["@off", {"_target_": "A", "_disabled_": True}, "@net"],
            "made": "$monai.networks.nets.UNet(spatial_dims=@size)",
        },
    )

    net = values.get("net")
    assert isinstance(net, Component)
    assert net.target == "UNet"
    assert net.get("channels") == [3, 3]
    with pytest.raises(ModelError, match="needs code to run"):
        net.get("bad")
    assert values.get("off") is None
    assert [c.target for c in values.get("list")[1:]] == ["UNet"]
    assert values.get("moved").target == values.get("copied").target == "UNet"
    made = values.get("made")
    assert made.name == "UNet"
    assert not made.own_code
    assert made.get("spatial_dims") == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("torch.float32", Symbol("torch.float32"), id="type"),
        pytest.param("torch.load('models/a.pt', map_location='cpu')['x'][0]",
                     Stored("models/a.pt", ("x", 0)), id="stored"),
        pytest.param("torch.from_numpy(torch.load('a')['n'])", Stored("a", ("n",)), id="numpy"),
        pytest.param("monai.utils.CommonKeys.IMAGE", "image", id="common key"),
        pytest.param("os.path.join('.', 'models', 'model.pt')", "./models/model.pt", id="join"),
        pytest.param("torch.cuda.is_available()", False, id="cuda"),
        pytest.param("os.path.exists('models/model.pt')", False, id="exists"),
    ],
)  # fmt: skip
def test_names_that_stand_for_data(text: str, value: object) -> None:
    assert evaluate(text, lambda name: name) == value


def test_a_lambda_is_kept_as_a_tree() -> None:
    value = evaluate("lambda x: x[1:]", lambda name: name)

    assert isinstance(value, Function)
    assert value.node.args.args[0].arg == "x"


ATTACKS = {
    "import": "__import__('os').system('touch MARKER')",
    "open": "open('MARKER', 'w')",
    "exec": "exec(\"open('MARKER', 'w')\")",
    "eval": "eval(\"open('MARKER', 'w')\")",
    "attribute walk": "().__class__.__mro__[1].__subclasses__()",
    "attribute of a text": "''.join.__globals__",
    "attribute of a reference": "@text.__class__",
    "os": "os.system('touch MARKER')",
    "os by getattr": "getattr(os, 'system')('touch MARKER')",
    "subprocess": "subprocess.call(['touch', 'MARKER'])",
    "setattr": "setattr(torch.backends.cudnn, 'benchmark', True)",
    "loader": "torch.jit.load('models/model.ts')",
    "pickle": "torch.load('models/model.pt', weights_only=False).evil()",
    "lambda called": "(lambda: open('MARKER', 'w'))()",
    "comprehension": "[open('MARKER', 'w') for _ in range(1)]",
    "walrus": "(x := 1)",
    "format": "'{0.__class__}'.format(1)",
    "percent": "'%2000000000d' % 1",
    "f-string": "f'{open(1)}'",
    "starred": "[*range(10)]",
    "keywords": "dict(**@labels)",
    "monai code": "monai.bundle.run(config_file='x')",
    "monai network by position": "monai.networks.nets.UNet(3)",
    "apply": "print('x')",
    "bytes": "b'x'",
    "complex": "1j",
    "root of minus": "(-1) ** 0.5",
    "shift": "1 << 100000",
    "reference inside a text": "'@text'",
    "statement": "import os",
    "two statements": "1; 2",
    "nothing": "",
}
BOMBS = {
    "power": "9**9**9",
    "negative power": "9**-(9**9)",
    "float power": "9.0**9**9",
    "repeat": "[0]*10**10",
    "text repeat": "'x'*10**10",
    "repeat of repeats": "[[[[0]*1000]*1000]*1000]*1000",
    "range": "list(range(10**10))",
    "huge range": "range(10**40)",
    "round": "round(5, -10**9)",
    "factorial by hand": "*".join(["9" * 70] * 50),
    "divide by zero": "1 / 0",
    "deep": "(" * 5000 + "1" + ")" * 5000,
    "deep list": "[" * 1500 + "]" * 1500,
    "unary": "-" * 3000 + "1",
    "doubling": "@twice",
    "long": "1+" * 5000 + "1",
    "wrong item": "[1][4]",
    "wrong key": "@labels['x']",
}


@pytest.mark.parametrize("text", [pytest.param(v, id=k) for k, v in (ATTACKS | BOMBS).items()])
def test_no_expression_runs_code_or_grows(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    doubled = {f"d{i}": [f"@d{i + 1}"] * 2 for i in range(40)} | {"d40": 1, "twice": "$@d0"}
    values = config(tmp_path, {"x": f"${text}", "text": "t", "labels": {"a": 1}, **doubled})
    start = time.perf_counter()

    with pytest.raises(ModelError) as caught:
        values.get("x")

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert time.perf_counter() - start < 5
    assert os.listdir(tmp_path) == ["part0.json"]


@pytest.mark.parametrize(
    ("values", "name", "line"),
    [
        pytest.param({"a": "@b", "b": "@a"}, "a", "refers to itself", id="circle"),
        pytest.param({"a": "$@a + 1"}, "a", "refers to itself", id="expression of itself"),
        pytest.param({"a": {"b": "@a"}}, "a", "refers to itself", id="inside itself"),
        pytest.param({"a": "%b", "b": "%a"}, "a", "deeply|repeats", id="macros in a circle"),
        pytest.param({"a": {"b": "%a"}}, "a", "repeats|deeply", id="macro inside itself"),
        pytest.param({"a": "%a"}, "a", "repeats", id="macro of itself"),
        pytest.param({"a": "@nothing"}, "a", "refers to nothing", id="missing"),
        pytest.param({"a": "%../secret.json"}, "a", "outside of the bundle", id="macro outside"),
        pytest.param({"a": "%/etc/secret.json"}, "a", "outside of the bundle", id="macro root"),
        pytest.param({"a": "%none.json"}, "a", "is not in the bundle", id="macro of no file"),
        pytest.param({"a": "@####b"}, "a", "outside of the config", id="too far up"),
        pytest.param({"a": {"_target_": "X", "_mode_": "debug"}}, "a", "_mode_", id="debugger"),
        pytest.param({"a": {"_target_": "X", "_mode_": "callable"}}, "a", "_mode_", id="partial"),
        pytest.param({"a": {"_target_": "X", "_requires_": "$f()"}}, "a", "_requires_", id="req"),
        pytest.param({"a": {"_target_": "X", "_disabled_": "$f()"}}, "a", "code", id="disabled"),
        pytest.param({"a": {"_target_": ["X"]}}, "a", "is no name", id="target of a list"),
    ],
)
def test_what_cannot_be_resolved_is_one_line(
    values: dict[str, Any], name: str, line: str, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (tmp_path / "secret.json").write_text("{}")

    with pytest.raises(ModelError, match=line) as caught:
        config(folder, values).get(name)

    assert "\n" not in str(caught.value)


def test_a_link_out_of_the_bundle_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (tmp_path / "secret.json").write_text('{"key": 1}')
    (folder / "inside.json").symlink_to(tmp_path / "secret.json")

    with pytest.raises(ModelError, match="outside of the bundle"):
        config(folder, {"a": "%inside.json#key"}).get("a")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("!!python/object/apply:os.system ['touch MARKER']", id="apply"),
        pytest.param("a: !!python/name:os.system", id="name"),
        pytest.param("a: !include other.yaml", id="own tag"),
        pytest.param("[" * 3000 + "]" * 3000, id="deep"),
        pytest.param("a: &a {x: 1}\nb: {<<: [*a, *a]}", id="merges"),
        pytest.param("- 1\n- 2", id="a list"),
        pytest.param("a: 'open", id="open quote"),
        pytest.param("\x00", id="control"),
    ],
)
def test_yaml_of_more_than_plain_values(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "x.yaml"
    file.write_text(text)

    with pytest.raises(ModelError) as caught:
        read_config_file(file)

    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["x.yaml"]


def test_an_alias_of_itself_and_a_laughing_one(tmp_path: Path) -> None:
    laughs = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
    )
    for text, name in (("a: &a [*a]\n", "a"), (laughs, "a11")):
        with pytest.raises(ModelError, match=r"deeply or too large|itself"):
            config(tmp_path, text).get(name)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 50_000, "[1]", "{,}", ""])
def test_json_that_is_no_mapping_or_damaged(text: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)

    with pytest.raises(ModelError) as caught:
        read_config_file(file)

    assert "\n" not in str(caught.value)
