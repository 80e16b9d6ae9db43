"""Devices and number formats: what auto takes, and the cure for what is not there."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import torch

from napari_monai.devices import (
    device_name,
    free_memory,
    has_native_bfloat16,
    is_out_of_memory,
    pick_device,
    pick_precision,
)
from napari_monai.errors import DeviceError

CPU = torch.device("cpu")
CUDA = torch.cuda.is_available()
MPS = torch.backends.mps.is_available()


def test_auto_takes_the_gpu_where_there_is_one():
    assert pick_device("auto").type == ("cuda" if CUDA else "mps" if MPS else "cpu")


def test_cpu_is_always_there():
    assert pick_device("cpu") == CPU
    assert device_name(CPU) == "CPU"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("cuda", marks=pytest.mark.skipif(CUDA, reason="this machine has CUDA")),
        pytest.param("mps", marks=pytest.mark.skipif(MPS, reason="this machine has MPS")),
        "tpu",
    ],
)
def test_a_device_that_is_not_there_names_the_cure(name):
    with pytest.raises(DeviceError, match="choose auto") as caught:
        pick_device(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_a_precision_that_is_asked_for_is_taken(name):
    assert pick_precision(CPU, name) == getattr(torch, name)


@pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() != "x86_64", reason="reads /proc/cpuinfo"
)
def test_native_bfloat16_is_what_the_processor_says():
    flags = Path("/proc/cpuinfo").read_text().split()
    assert has_native_bfloat16() == bool({"avx512_bf16", "amx_tile"} & set(flags))


def test_auto_on_the_cpu_is_bfloat16_only_where_native():
    expected = torch.bfloat16 if has_native_bfloat16() else torch.float32
    assert pick_precision(CPU, "auto") == expected


def test_auto_elsewhere_is_float32():
    assert pick_precision(torch.device("mps"), "auto") == torch.float32


def test_free_memory_is_that_of_the_machine():
    assert 2**20 < free_memory(CPU) < 2**50


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(torch.OutOfMemoryError("x"), True, id="cuda"),
        pytest.param(MemoryError(), True, id="python"),
        pytest.param(RuntimeError("MPS backend out of memory (9 GB)"), True, id="mps"),
        pytest.param(RuntimeError("DefaultCPUAllocator: can't allocate memory"), True, id="cpu"),
        pytest.param(RuntimeError("shape mismatch"), False, id="other"),
        pytest.param(ValueError("out of memory"), False, id="not-torch"),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error, expected):
    assert is_out_of_memory(error) is expected


def test_memory_that_really_runs_out_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
