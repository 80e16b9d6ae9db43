"""``--trust``: the user's consent to the code that a model brings."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .output import complain

if TYPE_CHECKING:
    from ..models import Model


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add the option to a command that runs models."""
    parser.add_argument(
        "--trust",
        action="store_true",
        help="Agree, from now on, to run the code that this very model brings; most bring none.",
    )


def agree(model: Model) -> None:
    """Remember that the user trusts the code of a model, and say what it is."""
    from ..models import trust

    asked = trust.needs_consent(model)
    if asked is not None:
        trust.consent(trust.fingerprint(model), model.name)
        complain(asked, level="warning")
