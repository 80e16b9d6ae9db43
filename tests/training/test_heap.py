"""Freed memory that is kept: fewer pages are asked of the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, sys
import numpy as np
from napari_monai.training.heap import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

kept = keep_freed_memory() if sys.argv[1] == "keep" else None
np.ones(10_000_000)
before = faults()
for _ in range(20):
    arrays = [np.ones(5_000_000) for _ in range(2)]
    del arrays
print(kept, faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library has no such switch")
def test_kept_memory_is_used_again() -> None:
    def count(how: str) -> tuple[str, int]:
        run = [sys.executable, "-c", COUNT, how]
        kept, faults = subprocess.run(
            run, capture_output=True, text=True, check=True
        ).stdout.split()
        return kept, int(faults)

    assert count("keep")[0] == "True"
    assert count("keep")[1] < count("leave")[1] / 4


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_monai.training.heap import keep_freed_memory

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
