"""ReSeg: sweeps along lines, and what each position hears of."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from napari_monai.networks import build_network
from napari_monai.networks.reseg import Sweep


@pytest.mark.parametrize(("axis", "sizes"), [(2, (3, 5)), (3, (3, 5)), (3, (2, 5, 3))], ids=str)
def test_a_sweep_goes_over_each_line_both_ways(axis: int, sizes: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    sweep = Sweep(axis, 2, 3)
    x = torch.randn(2, 2, *sizes)
    found = sweep(x)
    assert found.shape == (2, 6, *sizes)
    # Line by line, unit by unit, as Cho et al. 2014 write it down.
    gru: Any = sweep.gru
    moved, out = x.movedim(axis, -1), found.movedim(axis, -1)
    for batch in range(2):
        lines = moved[batch].reshape(2, -1, sizes[axis - 2])
        results = out[batch].reshape(6, -1, sizes[axis - 2])
        for line in range(lines.shape[1]):
            there = recurrence(gru, "l0", lines[:, line].T)
            back = recurrence(gru, "l0_reverse", lines[:, line].T.flip(0)).flip(0)
            expected = torch.cat([there, back], dim=1).T
            torch.testing.assert_close(results[:, line], expected)


def recurrence(gru: Any, suffix: str, line: torch.Tensor) -> torch.Tensor:
    """Return the states ``(length, hidden)`` of gated recurrent units along a line."""
    names = (f"weight_ih_{suffix}", f"weight_hh_{suffix}", f"bias_ih_{suffix}", f"bias_hh_{suffix}")
    w_in, w_state, b_in, b_state = (getattr(gru, name) for name in names)
    state = torch.zeros(gru.hidden_size)
    states = []
    for value in line:
        reset_in, update_in, new_in = (w_in @ value + b_in).chunk(3)
        reset_state, update_state, new_state = (w_state @ state + b_state).chunk(3)
        reset = torch.sigmoid(reset_in + reset_state)
        update = torch.sigmoid(update_in + update_state)
        new = torch.tanh(new_in + reset * new_state)
        state = (1 - update) * new + update * state
        states.append(state)
    return torch.stack(states)


@pytest.mark.parametrize("sizes", [(24, 32), (8, 16, 12)], ids=str)
def test_every_position_hears_of_the_whole_image(sizes: tuple[int, ...]) -> None:
    arguments = {
        "spatial_dims": len(sizes), "in_channels": 1, "out_channels": 2, "channels": [4, 4],
        "depths": [1, 1], "strides": [2], "hidden": 3, "layers": 1, "norm": "batch",
    }  # fmt: skip
    network = build_network("reseg", arguments).eval()
    x = torch.zeros(1, 1, *sizes)
    x[(0, 0, *(-1 for _ in sizes))] = torch.nan
    # Not-a-number spreads to all that depends on it, whatever the weights.
    assert network(x).isnan().all()
    # Rows first, then columns: one axis alone reaches its own lines.
    sweep = Sweep(2, 1, 2)
    touched = sweep(x).isnan().any(dim=1)[0]
    lines = touched.reshape(sizes[0], -1)
    assert lines.any(dim=0).sum() == 1
    assert lines.sum() == sizes[0]
