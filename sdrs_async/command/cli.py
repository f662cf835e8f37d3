"""The entry point of the command: it says so in one line when its libraries are not installed."""

from __future__ import annotations

import sys
from io import TextIOWrapper

__all__ = ["main"]

_LIBRARIES = ("typer", "rich")


def main() -> None:
    """Run the command with the arguments of the process, and exit."""
    try:
        from sdrs_async.command.commands import app
        from sdrs_async.command.terminal import flush_both
    except ModuleNotFoundError as error:
        if error.name not in _LIBRARIES:
            raise
        sys.stderr.write("error: the command needs its extra: pip install 'sdrs-async[cli]'\n")
        sys.exit(2)
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, TextIOWrapper):
            # An id or a message must not end a run because the terminal's encoding lacks a letter of it.
            output.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="sdrs-async")
    finally:
        flush_both()
