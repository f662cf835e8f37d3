"""The entry point of the command: quiet at Ctrl-C from here on, and one line when its libraries are not installed."""

from __future__ import annotations

import os
import sys

_LIBRARIES = ("typer", "rich", "msgspec")


def main() -> None:
    """Run the command with the arguments of the process, and exit."""
    try:
        _quit_at_ctrl_c()
        _run()
    except KeyboardInterrupt:
        sys.exit(130)


def _quit_at_ctrl_c() -> None:
    """Let SIGINT end the process at once with 130, where nothing else handles it.

    An exception would not do: libraries catch it, and Python shows, and drops, one that comes up in its own callbacks.
    """
    import atexit
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else who started the process had it ignored
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
        # The last that Python calls at its end, after which it would put back the signal's own way to kill.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def _run() -> None:
    try:
        import msgspec  # noqa: F401 - for a fleet file, but half an extra is told before any work

        from sdrs_async.command.app import app
        from sdrs_async.command.streams import flush_both, use_streams
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
