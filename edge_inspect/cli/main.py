"""`edge-inspect`: finds the verb, runs it, turns errors into one sentence and an exit code.

Exit codes: 0 done, 1 failed, 2 usage, 78 configuration. Only the named verb's module is imported.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from edge_inspect import __version__
from edge_inspect.errors import EdgeInspectError
from edge_inspect.service.journal import JournalHandler, is_journal, with_priority
from edge_inspect.service.repeats import Repeats

VERBS = (
    "run",
    "check",
    "demo",
    "status",
    "teach",
    "calibrate",
    "msa",
    "challenge",
    "train",
    "export",
    "evaluate",
    "build",
    "bench",
    "replay",
    "support",
    "fake-plc",
    "cameras",
    "capture",
    "sign",
    "verify",
)


class Verb(Protocol):
    """What the module of a verb offers."""

    HELP: str
    EXAMPLE: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Say which arguments the verb takes."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; the exit code."""


def main(words: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code for the shell."""
    words = sys.argv[1:] if words is None else list(words)
    try:
        arguments = _parser(_named_verbs(words)).parse_args(words)
        _log_to_standard_error(arguments.log.upper())
        return cast(int, arguments.verb_run(arguments))
    except EdgeInspectError as error:
        said = f"edge-inspect: {error}"
        print(with_priority(said, logging.ERROR) if is_journal(sys.stderr) else said, file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader of our output has seen enough, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("edge-inspect: stopped from the keyboard", file=sys.stderr)
        return 1


def _log_to_standard_error(level: str) -> None:
    handler: logging.Handler = JournalHandler(sys.stderr) if is_journal(sys.stderr) else logging.StreamHandler(sys.stderr)
    if not isinstance(handler, JournalHandler):
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[Repeats(handler)])


def _named_verbs(words: Sequence[str]) -> Sequence[str]:
    """The verbs whose modules must be imported: the one named, or all for the overview."""
    named = [word for word in words if word in VERBS]
    return named[:1] or VERBS


def _parser(verbs: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edge-inspect", description="Line-side inspection: one verdict for every part.")
    parser.add_argument("--version", action="version", version=f"edge-inspect {__version__}")
    parser.add_argument("--log", choices=("debug", "info", "warning", "error"), default="info", help="what goes to standard error")
    choices = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name in verbs:
        verb = _verb(name)
        example = f"example: {verb.EXAMPLE}"
        added = choices.add_parser(
            name, help=verb.HELP, description=verb.HELP, epilog=example, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        verb.add_arguments(added)
        added.set_defaults(verb_run=verb.run)
    return parser


def _verb(name: str) -> Verb:
    return cast(Verb, importlib.import_module(f"edge_inspect.cli.{name.replace('-', '_')}"))
