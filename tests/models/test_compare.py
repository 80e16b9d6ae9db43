"""When two forms of a network are the same: within the tolerance, or within float32's rounding."""

from __future__ import annotations

import pytest
import torch

from napari_monai.errors import ModelError
from napari_monai.models.compare import check_same


class Cancelling(torch.nn.Module):
    """The image itself, by way of numbers so large that float32 loses its last digits."""

    def __init__(self, large: float) -> None:
        super().__init__()
        self.large = torch.nn.Parameter(torch.tensor(large))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image + self.large) - self.large


class Single(Cancelling):
    """The same in float32 only."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if image.dtype != torch.float32:
            raise RuntimeError("expected float32")
        return super().forward(image)


IMAGES = [torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)]


@pytest.mark.parametrize(
    ("network", "shift", "same"),
    [
        pytest.param(torch.nn.Identity(), 9e-5, True, id="within-the-tolerance"),
        pytest.param(torch.nn.Identity(), 2e-4, False, id="beyond-the-tolerance"),
        # Rounded to 2 ** -10: half of that is what the network is off.
        pytest.param(Cancelling(2.0**13), 0.0, True, id="rounding"),
        pytest.param(Cancelling(2.0**13), 1.5e-3, True, id="not-much-more-than-rounding"),
        pytest.param(Cancelling(2.0**13), 3e-3, False, id="more-than-rounding"),
        pytest.param(Cancelling(2.0**18), 0.0, False, id="no-output-at-all"),
        pytest.param(Single(2.0**13), 0.0, False, id="rounding-nobody-can-tell"),
    ],
)
def test_the_same_within_rounding(network, shift, same):
    def other(image):
        return image + shift

    if same:
        check_same(network, other, IMAGES)
        return
    with pytest.raises(ModelError, match="outputs differ from the network's by"):
        check_same(network, other, IMAGES)


def test_another_shape_is_another_network():
    with pytest.raises(ModelError, match=r"gives \(1, 1, 8, 7\) instead of \(1, 1, 8, 8\)"):
        check_same(torch.nn.Identity(), lambda image: image[..., :-1], IMAGES)
