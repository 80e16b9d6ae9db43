"""TorchScript: read without running, run with consent only, written and compared."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models.known import random_model, threshold_model

import napari_monai as nm
from napari_monai.errors import ModelError, TrustError
from napari_monai.grid import Grid
from napari_monai.models import load_model, torchscript, trust
from napari_monai.volume import Volume


class Doubled(torch.nn.Module):
    """Twice the image, or the probability of it."""

    def __init__(self, finished: bool = False) -> None:
        super().__init__()
        self.finished = finished

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(2 * image) if self.finished else 2 * image


class Marking(torch.nn.Module):
    """Writes a file while it is loaded."""

    def __init__(self, marker: str) -> None:
        super().__init__()
        self.marker = marker

    @torch.jit.export
    def __getstate__(self):
        return self.marker, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]):
        self.marker = state[0]
        self.training = state[1]
        torch.save(torch.zeros(1), self.marker)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image


pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


def scripted(path, module):
    torch.jit.save(torch.jit.script(module.eval()), str(path))
    return path


NUMBERS = {"spatial_dims": 2, "in_channels": 1, "out_channels": 1}


@pytest.mark.parametrize("dims", [2, 3])
def test_written_read_and_compared(tmp_path, dims):
    model = random_model(tmp_path / "m", dims=dims)
    file = torchscript.export(model, tmp_path / "made.pt")
    again = load_model(file)
    told = again.description
    assert (again.origin, told.trust, told.labels) == (
        "torchscript",
        "native_code",
        model.description.labels,
    )
    image = torch.from_numpy(
        np.random.default_rng(1).standard_normal((2, 1, *(12, 18, 6)[:dims]), np.float32)
    )
    with pytest.raises(TrustError):
        again.load_network()
    trust.consent(trust.fingerprint(again))
    with torch.inference_mode():
        assert torch.allclose(again.load_network()(image), model.load_network()(image), atol=1e-5)


def test_a_written_model_segments_as_before(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5)
    again = load_model(torchscript.export(model, tmp_path / "n.ts"))
    trust.consent(trust.fingerprint(again))
    image = np.random.default_rng(0).random((21, 17), np.float32)
    labels = nm.segment(Volume(image, Grid.from_spacing(image.shape)), again)
    assert np.array_equal(labels.numpy(), image > 0.5)


@pytest.mark.parametrize("finished", [False, True], ids=["logits", "probabilities"])
def test_a_file_that_is_told_what_it_is(tmp_path, finished):
    file = scripted(tmp_path / "n.pt", Doubled(finished))
    gives = {"gives": "probabilities"} if finished else {}
    model = load_model(file, **NUMBERS, **gives, labels=["cell"])
    assert [c.name for c in model.description.labels] == ["cell"]
    trust.consent(trust.fingerprint(model))
    image = torch.linspace(-3, 3, 16).reshape(1, 1, 4, 4)
    with torch.inference_mode():
        assert torch.allclose(model.load_network()(image), 2 * image, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({}, "does not say its spatial_dims: give", id="nothing"),
        pytest.param({"spatial_dims": 2, "in_channels": 1}, "its out_channels", id="one-missing"),
        pytest.param({**NUMBERS, "in_channels": "1"}, "in_channels is a whole number", id="text"),
        pytest.param({**NUMBERS, "gives": "logit"}, "logits or probabilities", id="gives"),
        pytest.param({**NUMBERS, "lables": []}, "Did you mean 'labels'?", id="unknown"),
    ],
)
def test_a_file_that_is_not_told_enough(tmp_path, options, message):
    file = scripted(tmp_path / "n.pt", Doubled())
    with pytest.raises(ModelError, match=message):
        load_model(file, **options)


def test_code_runs_neither_on_reading_nor_without_consent(tmp_path, monkeypatch):
    marker = tmp_path / "marker"
    file = scripted(tmp_path / "n.pt", Marking(str(marker)))
    marker.unlink(missing_ok=True)
    model = load_model(file, **NUMBERS)
    with pytest.raises(TrustError) as caught:
        model.load_network()
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="cannot be data_only"):
        replace(model.description, trust="data_only")
    monkeypatch.setenv("NAPARI_MONAI_TRUST", "never")
    trust.consent(trust.fingerprint(model))
    with pytest.raises(TrustError, match="never"):
        model.load_network()
    assert not marker.exists()


def test_consent_is_for_one_file(tmp_path):
    file = scripted(tmp_path / "n.pt", Doubled())
    model = load_model(file, **NUMBERS)
    trust.consent(trust.fingerprint(model))
    assert model.load_network()(torch.ones(1, 1, 2, 2)).max() == 2
    scripted(file, Doubled(finished=True))
    with pytest.raises(ModelError, match="sha256 differs"):
        model.load_network()
    with pytest.raises(TrustError):
        load_model(file, **NUMBERS).load_network()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{", id="no-json"),
        pytest.param("[]", id="no-object"),
        pytest.param('{"format": "x"}', id="no-model"),
    ],
)
def test_a_damaged_description_inside(tmp_path, text):
    content = io.BytesIO()
    extra = {torchscript.DESCRIPTION: text}
    torch.jit.save(torch.jit.script(Doubled()), content, _extra_files=extra)
    (tmp_path / "n.pt").write_bytes(content.getvalue())
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path / "n.pt")
    assert "\n" not in str(caught.value)


def test_what_is_no_archive(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "n.pt")
    assert not torchscript.sniff(tmp_path / "n.pt")
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as made:
        made.writestr("m/constants.pkl", b"")
    assert not torchscript.sniff(tmp_path / "m.pt")
    with pytest.raises(ModelError, match="no TorchScript file"):
        torchscript.read(tmp_path / "m.pt")
