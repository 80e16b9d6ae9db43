"""Consent: asked once for a SHA-256, kept, refused for good."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.models.known import threshold_model

from napari_monai.errors import ModelError, TrustError
from napari_monai.models import trust

SHA = "ab" * 32


@pytest.fixture
def coded(tmp_path):
    """Return a model that says of itself that it brings code."""
    model = threshold_model(tmp_path / "m", threshold=0.5)
    return replace(model, description=replace(model.description, trust="python_code"))


def test_data_alone_needs_no_consent(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_MONAI_TRUST", "never")
    trust.refuse_all()
    model = threshold_model(tmp_path / "m", threshold=0.5)
    assert trust.needs_consent(model) is None
    model.load_networks()


def test_code_runs_after_consent_to_that_very_file(coded):
    with pytest.raises(TrustError) as caught:
        coded.load_networks()
    assert str(caught.value).startswith(trust.needs_consent(coded))
    assert "bright runs Python code" in str(caught.value)
    trust.consent(SHA, "another one")
    with pytest.raises(TrustError):
        coded.load_network()
    trust.consent(trust.fingerprint(coded), "for a test")
    coded.load_networks()
    coded.load_network()
    kept = json.loads(trust.trust_file().read_text())
    assert kept["consents"][coded.description.weights[0].sha256]["note"] == "for a test"


def test_consent_can_be_withdrawn(coded):
    trust.consent(trust.fingerprint(coded))
    trust.withdraw(trust.fingerprint(coded))
    assert not trust.has_consent(trust.fingerprint(coded))


def test_another_file_in_an_ensemble_is_another_consent(coded):
    weights = coded.description.weights[0]
    both = replace(weights, sha256=SHA)
    more = replace(coded, description=replace(coded.description, weights=(weights, both)))
    trust.consent(trust.fingerprint(coded))
    assert not trust.has_consent(trust.fingerprint(more))


def test_refused_for_good_and_allowed_again(coded):
    trust.consent(trust.fingerprint(coded))
    trust.refuse_all()
    assert trust.refuses_all()
    with pytest.raises(TrustError, match="your settings refuse all"):
        coded.load_networks()
    trust.refuse_all(False)
    coded.load_networks()


@pytest.mark.parametrize("word", ["never", "NEVER", " never "])
def test_the_environment_refuses_whatever_was_agreed_to(coded, monkeypatch, word):
    trust.consent(trust.fingerprint(coded))
    monkeypatch.setenv("NAPARI_MONAI_TRUST", word)
    assert not trust.has_consent(trust.fingerprint(coded))
    with pytest.raises(TrustError, match="NAPARI_MONAI_TRUST=never"):
        coded.load_networks()


def test_no_sha256():
    with pytest.raises(ValueError, match="64 hexadecimal"):
        trust.consent("all")


def test_a_model_with_blockers_lists_and_does_not_run(tmp_path):
    model = threshold_model(tmp_path / "m", threshold=0.5)
    told = replace(model.description, blockers=("It asks for prompts.", "And more."))
    with pytest.raises(ModelError, match=r"^It asks for prompts\.$"):
        replace(model, description=told).load_networks()
