"""What a description says of averaging, of the way home and of regions, from image to labels."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from scipy import ndimage
from tests.models.known import arguments, random_model

from napari_monai import inference
from napari_monai.errors import ModelError, SettingsError
from napari_monai.events import Said, Segmented, WindowDone
from napari_monai.grid import Grid
from napari_monai.inference import segment_steps
from napari_monai.models import Inferer, Inputs, NetworkSpec, Operation, Outputs
from napari_monai.preprocess import prepare
from napari_monai.settings import InferenceSettings
from napari_monai.volume import LabelClass, Volume

EXACT = InferenceSettings(device="cpu", precision="float32", probabilities=True)
SHAPE = (14, 17, 12)
MONAI = Inferer((8, 8, 8), overlap=0.25, steps="monai", average="logits", padding="zeros")
CLASSES = ("background", "a", "b")
LABELS = (LabelClass(1, "a"), LabelClass(2, "b"))
SPACING = (Operation("spacing", {"spacing": [1.5, 0.8, 1.1]}),)


def _spec(dims=3, outputs=3):
    told = {**arguments(dims, outputs=outputs), "channels": [4, 8], "strides": [2]}
    return NetworkSpec("unet", {**told, "num_res_units": 1, "act": "relu", "norm": "batch"})


def _model(folder, *, outputs=None, network_outputs=3, **changes):
    told = {
        "inferer": MONAI,
        "outputs": outputs or Outputs("classes", CLASSES, ("softmax",)),
        "labels": LABELS,
        "network": _spec(outputs=network_outputs),
        **changes,
    }
    model = random_model(folder, dims=3, network_arguments=told["network"].arguments, **told)
    network = model.load_network("cpu")
    # Sure enough of themselves for their order to matter.
    return model, lambda batch: network(batch)


def _volume(shape=SHAPE):
    image = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=shape), 1.0)
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    return Volume((image / image.std()).astype(np.float32), Grid(shape, affine, "mm"))


def _run(volume, model, settings=EXACT, **told) -> Segmented:
    *_, last = segment_steps(volume, model, settings=settings, **told)
    assert isinstance(last, Segmented)
    return last


def _logits(model, network, volume, **told):
    """Return MONAI's logits on the prepared grid, and how that lies on the native one."""
    prepared = prepare(volume, model.description)
    inferer = model.description.inferer
    with torch.inference_mode():
        logits = sliding_window_inference(
            torch.from_numpy(prepared.array)[None],
            inferer.window,
            1,
            network,
            overlap=inferer.overlap,
            mode=inferer.blend,
            **told,
        )[0]
    return logits, prepared.back


def _at_home(maps, back, order):
    """Return maps sampled by SciPy where the voxels of the native grid lie."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in back.native.shape), indexing="ij"), -1)
    where = back.prepared.world_to_index(back.native.index_to_world(index))
    where = np.moveaxis(np.round(where, 6), -1, 0)
    sample = (ndimage.map_coordinates(m, where, order=order, mode="nearest") for m in maps)
    return torch.from_numpy(np.stack(list(sample)))


@pytest.mark.parametrize("home", ["logits", "probabilities", "labels"])
@pytest.mark.parametrize("lazily", [False, True], ids=["in-memory", "lazily"])
def test_what_comes_home(tmp_path, home, lazily, monkeypatch):
    outputs = Outputs("classes", CLASSES, ("softmax",), home=home)
    model, network = _model(tmp_path / "m", outputs=outputs, preprocess=SPACING)
    volume = _volume()
    logits, back = _logits(model, network, volume)
    assert back.resampled
    if home == "logits":
        expected = _at_home(logits.numpy(), back, 1).softmax(0)
    else:
        expected = _at_home(logits.softmax(0).numpy(), back, home == "probabilities")
    if lazily:
        monkeypatch.setattr(inference, "prepare_bytes", lambda *_: 2**62)
    found = _run(volume, model)
    np.testing.assert_allclose(found.probabilities.numpy(), expected, atol=2e-5)
    labels = found.labels.numpy()
    decided = np.abs(np.diff(np.sort(expected, axis=0)[-2:], axis=0))[0] > 1e-4
    assert decided.mean() > 0.99
    np.testing.assert_array_equal(labels[decided], expected.argmax(0).numpy()[decided])
    assert set(np.unique(labels)) == {0, 1, 2}


@pytest.mark.parametrize("home", ["logits", "probabilities"])
def test_labels_do_not_depend_on_what_else_is_asked_for(tmp_path, home):
    outputs = Outputs("classes", CLASSES, ("softmax",), home=home)
    model, _ = _model(tmp_path / "m", outputs=outputs, preprocess=SPACING)
    alone = _run(_volume(), model, replace(EXACT, probabilities=False)).labels.numpy()
    for uncertainty in ("entropy", "variance"):
        found = _run(_volume(), model, replace(EXACT, uncertainty=uncertainty, flips=True))
        assert np.isfinite(found.uncertainty.numpy()).all()
    np.testing.assert_array_equal(_run(_volume(), model).labels.numpy(), alone)


def test_entropy_is_that_of_the_activated_logits(tmp_path):
    outputs = Outputs("classes", CLASSES, ("softmax",), home="logits")
    model, network = _model(tmp_path / "m", outputs=outputs)
    logits, _ = _logits(model, network, volume := _volume())
    # The image is taken as it is shown: inferior, posterior, left.
    p = np.flip(logits.softmax(0).numpy().transpose(0, 3, 2, 1), (1, 2, 3))
    expected = -(p * np.log(p)).sum(0) / np.log(3)
    found = _run(volume, model, replace(EXACT, uncertainty="entropy"))
    np.testing.assert_allclose(found.uncertainty.numpy(), expected, atol=1e-5)


def test_later_regions_are_written_over_earlier_ones(tmp_path):
    outputs = Outputs(
        "classes", ("whole", "core", "enhancing"), ("sigmoid",) * 3, regions=(2, 1, 4)
    )
    labels = tuple(LabelClass(n, str(n)) for n in (1, 2, 4))
    model, _ = _model(tmp_path / "m", outputs=outputs, labels=labels)
    found = _run(volume := _volume(), model)
    p = found.probabilities.numpy()
    expected = np.zeros(SHAPE, int)
    for channel, number in enumerate((2, 1, 4)):
        expected[p[channel] >= 0.5] = number
    assert len(np.unique(expected)) >= 3
    np.testing.assert_array_equal(found.labels.numpy(), expected)
    stricter = _run(volume, model, replace(EXACT, threshold=0.6)).labels.numpy()
    assert (stricter > 0).sum() < (expected > 0).sum()


def test_selected_channels_alone_decide(tmp_path):
    outputs = Outputs("classes", CLASSES, ("softmax",), select=(3, 0, 2))
    model, network = _model(tmp_path / "m", outputs=outputs, network_outputs=5)
    logits, back = _logits(model, network, volume := _volume())
    expected = back.how.inverse().apply(logits[[3, 0, 2]].softmax(0).numpy())
    np.testing.assert_allclose(_run(volume, model).probabilities.numpy(), expected, atol=1e-5)


def test_a_whole_image_at_once_is_padded_for_the_network(tmp_path):
    inferer = Inferer((8, 8, 8), kind="simple", padding="zeros", average="logits")
    inputs = Inputs(("c0",), 3, size_multiple=(4, 2, 2))
    model, network = _model(tmp_path / "m", inferer=inferer, inputs=inputs)
    events = list(segment_steps(volume := _volume(), model, settings=EXACT))
    assert sum(isinstance(e, WindowDone) for e in events) == 1
    prepared = prepare(volume, model.description)
    missing = [-n % m for n, m in zip(prepared.grid.shape, (4, 2, 2), strict=True)]
    padded = np.pad(prepared.array, [(0, 0), *((m // 2, m - m // 2) for m in missing)])
    inside = tuple(
        slice(m // 2, m // 2 + n) for m, n in zip(missing, prepared.grid.shape, strict=True)
    )
    with torch.inference_mode():
        out = network(torch.from_numpy(padded)[None])[0].softmax(0).numpy()
    expected = prepared.back.how.inverse().apply(out[(slice(None), *inside)])
    np.testing.assert_allclose(events[-1].probabilities.numpy(), expected, atol=1e-5)
    *_, said = (
        e.message
        for e in segment_steps(volume, model, settings=replace(EXACT, window=(4, 4, 4)))
        if isinstance(e, Said) and e.level == "warning"
    )
    assert "the window is not used" in said


def test_mirrored_along_the_axes_that_the_model_names(tmp_path):
    inferer = replace(MONAI, flips=True, mirror_axes=(0, 2))
    model, network = _model(tmp_path / "m", inferer=inferer)
    prepared = prepare(volume := _volume(), model.description)

    def mirrored(batch):
        copies = (
            network(batch.flip(axes)).flip(axes)
            for some in itertools.product((False, True), repeat=2)
            for axes in [tuple(a for a, on in zip((2, 4), some, strict=True) if on)]
        )
        return torch.stack(list(copies)).mean(0)

    logits, back = _logits(model, mirrored, volume)
    expected = back.how.inverse().apply(logits.softmax(0).numpy())
    assert prepared.grid.shape == tuple(logits.shape[1:])
    np.testing.assert_allclose(_run(volume, model).probabilities.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("steps", ["monai", "nnunet"])
def test_a_run_goes_on_where_it_was_stopped(tmp_path, steps):
    inferer = replace(MONAI, steps=steps)
    outputs = Outputs("classes", CLASSES, ("softmax",), home="logits")
    model, _ = _model(tmp_path / "m", outputs=outputs, inferer=inferer, preprocess=SPACING)
    volume = _volume((20, 17, 24))
    whole = _run(volume, model)
    told = {"settings": EXACT, "scratch": tmp_path / "s"}
    events = segment_steps(volume, model, **told)
    for event in events:
        if isinstance(event, WindowDone) and event.done == 2 * event.total // 3:
            break
    events.close()
    again = list(segment_steps(volume, model, **told))
    assert any(isinstance(e, Said) and e.message.startswith("Going on") for e in again)
    np.testing.assert_array_equal(again[-1].labels.numpy(), whole.labels.numpy())
    np.testing.assert_array_equal(again[-1].probabilities.numpy(), whole.probabilities.numpy())


def test_empty_windows_are_background_among_logits(tmp_path):
    outputs = Outputs("classes", CLASSES, ("softmax",), home="logits")
    model, _ = _model(tmp_path / "m", outputs=outputs)
    image = np.zeros((16, 16, 16), np.float32)
    volume = Volume(image, Grid.from_spacing(image.shape))
    found = _run(volume, model, replace(EXACT, skip_empty=0.5))
    assert not found.labels.numpy().any()
    np.testing.assert_allclose(found.probabilities.numpy()[0], 1, atol=1e-6)


def test_a_fixed_window_cannot_be_changed(tmp_path):
    model, _ = _model(tmp_path / "m", inputs=Inputs(("c0",), 3, fixed_size=True))
    _run(_volume(), model, replace(EXACT, window=(8, 8, 8)))
    with pytest.raises(SettingsError, match=r"windows of \(8, 8, 8\) only: leave the window out"):
        _run(_volume(), model, replace(EXACT, window=(8, 8, 16)))


def test_logits_come_home_only_where_logits_are_averaged(tmp_path):
    outputs = Outputs("classes", CLASSES, ("softmax",), home="logits")
    model, _ = _model(tmp_path / "m", outputs=outputs, inferer=Inferer((8, 8, 8)))
    with pytest.raises(ModelError, match=r"inferer\.average is logits too, not probabilities"):
        _run(_volume(), model)
