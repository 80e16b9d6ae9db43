"""Checkpoints of torch: the tensors at a key, under a prefix, and one line for what is not."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from tests.models.known import random_model, with_checkpoint

from napari_monai.errors import ModelError


@pytest.fixture
def model(tmp_path):
    return random_model(tmp_path / "m")


@pytest.fixture
def state(model):
    return model.load_network().state_dict()


def _saved(values, **options):
    file = io.BytesIO()
    torch.save(values, file, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("wrap", "key", "prefix"),
    [
        pytest.param(lambda s: s, "", "", id="bare"),
        pytest.param(lambda s: {"state_dict": s, "epoch": 3}, "state_dict", "", id="key"),
        pytest.param(lambda s: {"a": {"b": s}}, "a.b", "", id="dotted"),
        pytest.param(lambda s: {"a.b": s}, "a.b", "", id="key-with-a-dot"),
        pytest.param(
            lambda s: {f"module.{k}": v for k, v in s.items()}, "", "module.", id="prefix"
        ),
        pytest.param(
            lambda s: {"model": {"loss.w": torch.ones(1), **{f"net.{k}": v for k, v in s.items()}}},
            "model",
            "net.",
            id="others-beside",
        ),
        pytest.param(
            lambda s: {
                "network_weights": s,
                "logging": {"dice": [np.float64(0.5), np.float32(0.25)]},
                "dtype": np.dtype("f4"),
            },
            "network_weights",
            "",
            id="numpy-scalars-beside",
        ),
        pytest.param(lambda s: {k: v.double() for k, v in s.items()}, "", "", id="double"),
    ],
)
def test_the_same_network_comes_out(model, state, wrap, key, prefix):
    again = with_checkpoint(model, wrap(dict(state)), key=key, prefix=prefix)
    loaded = again.load_network().state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in state.items())


def test_the_form_of_torch_before_1_6(model, state):
    old = _saved(dict(state), _use_new_zipfile_serialization=False)
    loaded = with_checkpoint(model, old).load_network().state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in state.items())


@pytest.mark.parametrize(
    ("held", "key", "prefix", "message"),
    [
        pytest.param({"state_dict": {}}, "stat_dict", "", "Did you mean 'state_dict'?", id="key"),
        pytest.param({"a": 1}, "a", "", "holds no tensors at 'a'", id="no-mapping"),
        pytest.param({}, "", "", "holds no tensors: name the key", id="empty"),
        pytest.param({"w": torch.ones(1)}, "", "net.", "the first is 'w'", id="prefix"),
        pytest.param(
            {"epoch": 3, "state_dict": {"w": torch.ones(1)}},
            "",
            "",
            "has int 'epoch', not tensors alone",
            id="not-tensors",
        ),
        pytest.param(b"PK\x03\x04 cut", "", "", "is no checkpoint or is damaged", id="cut"),
        pytest.param(b"", "", "", "is no checkpoint or is damaged", id="nothing"),
    ],
)
def test_what_is_no_state_dict(model, held, key, prefix, message):
    with pytest.raises(ModelError) as caught:
        with_checkpoint(model, held, key=key, prefix=prefix).load_network()
    line = str(caught.value)
    assert message in line
    assert line.startswith(str(model.folder / "checkpoint.pth"))
    assert "\n" not in line
