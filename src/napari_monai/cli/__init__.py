"""The command line: one module a command, imported when the command is given.

A module of a command offers ``add_arguments(parser)`` and ``run(args) -> int``, and imports numpy,
torch and the like inside ``run`` only, so that ``--help`` answers at once.

Exit codes: 0 done, 1 something failed, 2 wrong arguments, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from .. import __version__
from ..errors import NapariMonaiError, SettingsError, VolumeWarning
from .output import complain, show_warning

PROGRAM = "napari-monai"


@dataclass(frozen=True)
class Command:
    """A command: its name, its module in this package, and what it does in a sentence."""

    name: str
    module: str
    help: str


COMMANDS = (
    Command("segment", ".segment", "Segment images with a model."),
    Command("train", ".train", "Train a model on images and labels, or fine-tune one."),
    Command("evaluate", ".evaluate", "Score labels against the truth."),
    Command("measure", ".measure", "Measure objects and classes, and an image in them."),
    Command(
        "labels", ".labels", "Correct labels: fill holes, remove small parts, merge, and more."
    ),
    Command("convert", ".convert", "Write an image or labels in another format."),
    Command("models", ".models", "List the models, or show what one is."),
    Command("info", ".info", "Say what is installed and what is missing, or what is in a file."),
    Command("demo", ".demo", "Segment a sample image, score it and show it."),
)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    # All that was given on the command line.
    given: Sequence[str] = ()

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and where the help is; exit with 2."""
        hint = _comma_hint(message, self.given)
        complain(f"{message.rstrip('.')}. {hint}See '{self.prog} --help'.")
        self.exit(2)


def _comma_hint(message: str, given: Sequence[str]) -> str:
    """Return how to write the numbers of an option that were given apart: ``--patch 32 32``."""
    name, _, words = message.partition(": ")
    extra = words.split()
    if name != "unrecognized arguments" or not all(word.isdigit() for word in extra):
        return ""
    for place, flag in enumerate(given):
        numbers = list(itertools.takewhile(str.isdigit, given[place + 1 :]))
        if flag.startswith("-") and len(numbers) > 1 and numbers[1:] == extra:
            return f"Several numbers have commas between them: write {flag} {','.join(numbers)}. "
    return ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments  # anywhere, also after the actions of a command
    arguments = [a for a in arguments if a != "--debug"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", VolumeWarning)
            if not debug:
                warnings.showwarning = show_warning
            args = _parser(arguments).parse_args(arguments)
            args.debug = debug
            code = int(args.run(args))
            sys.stdout.flush()
            return code
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        complain("cancelled.", level="")
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough; keep Python from flushing into the pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (NapariMonaiError, OSError) as error:
        if debug:
            traceback.print_exc()
        complain(str(error))
        return 2 if isinstance(error, SettingsError) else 1


def _parser(arguments: Sequence[str]) -> Parser:
    """Return the parser, with the arguments of the command that is asked for."""
    parser = Parser(prog=PROGRAM, description="Segment 2D and 3D images with MONAI networks.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.given = arguments
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    # No option before the command takes a value.
    wanted = next((a for a in arguments if not a.startswith("-")), None)
    for command in COMMANDS:
        sub = commands.add_parser(command.name, help=command.help, description=command.help)
        sub.add_argument("--debug", action="store_true", help="Show the traceback of an error.")
        if command.name == wanted:
            module = importlib.import_module(command.module, __name__)
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser
