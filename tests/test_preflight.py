"""What gives way, and is said, where a GPU has less memory free than a run needs."""

from __future__ import annotations

import pytest

from napari_monai.preflight import GIB, Estimate

ESTIMATE = Estimate(image=GIB, windows=8 * GIB, carried=4 * GIB, results=GIB, on_gpu=True, batch=8)


@pytest.mark.parametrize(
    ("free", "batch", "on_host", "device", "host", "notes"),
    [
        pytest.param(12, 8, False, 12, 2, [], id="all-fits"),
        pytest.param(
            7,
            3,
            False,
            7,
            2,
            ["It has 7.0 GiB free: 3 windows at once in place of 8."],
            id="smaller-batch",
        ),
        pytest.param(
            4.5,
            1,
            True,
            1,
            6,
            [
                "It has 4.5 GiB free: 1 windows at once in place of 8.",
                "It has 4.5 GiB free: windows are added up on the host.",
            ],
            id="sums-to-the-host",
        ),
        pytest.param(
            0.5,
            1,
            True,
            1,
            6,
            [
                "It has 0.5 GiB free: 1 windows at once in place of 8.",
                "It has 0.5 GiB free: windows are added up on the host.",
                "It has 0.5 GiB free and one window needs 1.0: a smaller window would fit.",
            ],
            id="not-one-window",
        ),
    ],
)
def test_what_gives_way(free, batch, on_host, device, host, notes):
    fitted, said = ESTIMATE.on_device(int(free * GIB), "It")
    assert (fitted.batch, fitted.sums_on_host) == (batch, on_host)
    assert (fitted.device / GIB, fitted.host / GIB) == (device, host)
    assert said == notes


def test_a_run_on_the_cpu_asks_no_device():
    estimate = Estimate(image=0, windows=GIB, carried=0, results=0)
    assert estimate.on_device(0, "It") == (estimate, [])
