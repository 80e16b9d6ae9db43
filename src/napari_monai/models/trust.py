"""Consent to run the code that some models bring: asked once, kept by SHA-256, refused for good.

Reading, listing and importing a model runs nothing. What is agreed to is kept in ``trust.json``
in the user's configuration folder, or in ``NAPARI_MONAI_HOME``. With ``NAPARI_MONAI_TRUST=never``
in the environment no model runs code, whatever was agreed to.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import TrustError, WriteError
from ..folders import config_folder

if TYPE_CHECKING:
    from .store import Model

FILE = "trust.json"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WHAT = {
    "native_code": "runs the code of a TorchScript file",
    "python_code": "runs Python code that came with it",
}


def needs_consent(model: Model) -> str | None:
    """Return one line that says what runs and why it needs consent; None for data alone."""
    trust = model.description.trust
    if trust == "data_only":
        return None
    network = model.description.network
    files = ", ".join(w.path for w in model.description.weights) or str(model.folder)
    if network.source == "python":
        files = network.code.call
    return (
        f"{model.name} {_what(model)} ({files}): code can do whatever you can do on this computer, "
        "so run it only if you trust where it is from."
    )


def fingerprint(model: Model) -> str:
    """Return what consent is kept by: the SHA-256 of the weights; of several, of them all.

    Where Python code makes the network, that code and how it is called count too.
    """
    network = model.description.network
    sums = [w.sha256 for w in model.description.weights]
    if network.source == "python":
        sums.insert(0, network.code.fingerprint)
    return sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode()).hexdigest()


def consent(sha256: str, note: str = "") -> None:
    """Remember that the user agrees to run the code of a model; see `fingerprint`.

    Raises WriteError if that cannot be kept, ValueError if it is no SHA-256.
    """
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"sha256 is not 64 hexadecimal digits: {sha256!r}")
    state = _load()
    state["consents"][sha256] = {
        "note": note,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    _save(state)


def withdraw(sha256: str) -> None:
    """Forget a consent; nothing happens where there is none."""
    state = _load()
    if state["consents"].pop(sha256, None) is not None:
        _save(state)


def has_consent(sha256: str) -> bool:
    """Whether the user has agreed to run the code of a model, and not refused all since."""
    return not refuses_all() and sha256 in _load()["consents"]


def refuse_all(refused: bool = True) -> None:
    """Refuse the code of all models for good, or allow to be asked again."""
    state = _load()
    state["refuse_all"] = refused
    _save(state)


def refuses_all() -> bool:
    """Whether no model may run code, by the settings or by the environment."""
    return _never() or bool(_load()["refuse_all"])


def require(model: Model) -> None:
    """Raise TrustError unless the model is data alone or the user has agreed to its code."""
    asked = needs_consent(model)
    if asked is None:
        return
    if _never():
        raise TrustError(f"{model.name} {_refused(model)}: NAPARI_MONAI_TRUST=never refuses all.")
    if refuses_all():
        raise TrustError(f"{model.name} {_refused(model)}: your settings refuse all such models.")
    if not has_consent(fingerprint(model)):
        raise TrustError(f"{asked} To agree, answer the question in napari or add --trust.")


def trust_file() -> Path:
    """Return where the consents are kept; the file may not exist yet."""
    return config_folder() / FILE


def _refused(model: Model) -> str:
    return f"{_what(model)}, which is not allowed"


def _what(model: Model) -> str:
    network = model.description.network
    if network.source == "python" and network.code.library:
        return "runs a Python package as the model asks for"
    return _WHAT[model.description.trust]


def _never() -> bool:
    return os.environ.get("NAPARI_MONAI_TRUST", "").strip().lower() == "never"


def _load() -> dict[str, Any]:
    """Return what is kept; a file that cannot be understood allows nothing."""
    file = trust_file()
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"refuse_all": False, "consents": {}}
    except (OSError, ValueError, RecursionError) as error:
        line = str(error).splitlines()[0]
        raise TrustError(f"{file} cannot be read ({line}): remove it to be asked again.") from None
    if not (
        isinstance(state, dict)
        and isinstance(state.get("consents"), dict)
        and isinstance(state.get("refuse_all"), bool)
    ):
        raise TrustError(f"{file} is damaged: remove it to be asked again.")
    return state


def _save(state: dict[str, Any]) -> None:
    file = trust_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=file.parent, prefix=f".{FILE}-", delete=False, encoding="utf-8"
        ) as beside:
            json.dump(state, beside, indent=2, ensure_ascii=False)
        os.replace(beside.name, file)
    except OSError as error:
        reason = error.strerror or error
        raise WriteError(f"{file} cannot be written ({reason}): free some space.") from None
