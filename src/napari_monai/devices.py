"""Which device a network runs on, in which number format, and how much memory it has free."""

from __future__ import annotations

import psutil
import torch

from .errors import DeviceError
from .settings import Device, Precision

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def pick_device(name: Device = "auto") -> torch.device:
    """Return the device of a name; ``"auto"`` takes CUDA, then MPS, then the CPU.

    Raises DeviceError, with the cure, where this machine does not have it.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    if name == "cuda" and not cuda:
        if torch.version.cuda is None and torch.version.hip is None:
            raise DeviceError(
                "This torch was built without CUDA: install one with it, or choose auto or cpu."
            )
        raise DeviceError(
            "torch finds no CUDA GPU: check the driver with nvidia-smi, or choose auto or cpu."
        )
    if name == "mps" and not mps:
        raise DeviceError("This machine has no Apple GPU (mps): choose auto or cpu.")
    if name not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"No device named {name!r}: choose auto, cpu, cuda or mps.")
    return torch.device(name)


def has_native_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 itself (AVX512-BF16 or AMX); otherwise it is slow."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    # Private in torch, which offers no public way to ask: without them the answer is no.
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def pick_precision(device: torch.device, wanted: Precision = "auto") -> torch.dtype:
    """Return the number format of a network's inside on a device.

    ``"auto"`` takes the fastest one that is safe as a rule: float16 on CUDA GPUs with tensor
    cores, bfloat16 on CPUs that calculate in it, else float32.

    Raises DeviceError where the device cannot do what is wanted.
    """
    if wanted != "auto":
        if wanted == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
            raise DeviceError("This GPU has no bfloat16: choose auto, float16 or float32.")
        return _DTYPES[wanted]
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0):
        return torch.float16
    if device.type == "cpu" and has_native_bfloat16():
        return torch.bfloat16
    return torch.float32


def device_name(device: torch.device) -> str:
    """Return what to call a device: ``"CPU"``, or the name of the GPU."""
    if device.type == "cuda":
        return f"GPU {torch.cuda.get_device_name(device)}"
    return {"cpu": "CPU", "mps": "Apple GPU"}.get(device.type, str(device))


def free_memory(device: torch.device) -> int:
    """Return the bytes that are free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return int(psutil.virtual_memory().available)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out, on whichever device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # MPS and the CPU have no class of their own for it.
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text
    )
