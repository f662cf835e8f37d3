"""The entry point of the command: it says so in one line when its libraries are not installed."""

from __future__ import annotations

import sys

__all__ = ["main"]

_LIBRARIES = ("typer", "rich", "msgspec")


def main() -> None:
    """Run the command with the arguments of the process, and exit."""
    try:
        _run()
    except KeyboardInterrupt:
        # Ctrl-C before or after the command proper, which has a handling of its own.
        sys.exit(130)


def _run() -> None:
    try:
        from sdrs_async.command.commands import app
        from sdrs_async.command.terminal import flush_both, use_streams
    except ModuleNotFoundError as error:
        if error.name not in _LIBRARIES:
            raise
        if sys.stderr is not None:
            sys.stderr.write("error: the command needs its extra: pip install 'sdrs-async[cli]'\n")
        sys.exit(2)
    use_streams()
    try:
        app(prog_name="sdrs-async")
    finally:
        flush_both()
