"""The command, loaded once for many runs: each is a fork of one process that has imported it, and a process like any.

It has its own arguments, variables, streams, main thread and exit code, and coverage sees it; only the second that the
imports take is not paid again. What depends on how Python starts up is for `tests.support.command.process`.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

# What the command imports, at its start and for what most runs do.
_LOADED = (
    "sdrs_async.command.app", "sdrs_async.command.cleanup", "sdrs_async.command.planning", "sdrs_async.simulator",
    "anyio._backends._asyncio", "pydantic.type_adapter",
    "rich.markdown", "rich.panel", "jinja2", "openstack.config",
)  # fmt: skip

__all__ = ["FORKS", "Done", "Stem"]

FORKS = sys.platform == "linux"
"""Whether a process that has loaded libraries may fork; on a Mac it may crash."""

_ROOT = Path(__file__).resolve().parents[2]


class Done(NamedTuple):
    """What a process left: exit code (negative: the signal that killed it) and what it wrote."""

    code: int
    stdout: str
    stderr: str


class Stem:
    """The process that forks, started with the first run; one run at a time."""

    def __init__(self) -> None:
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    async def run(self, args: Sequence[str], env: Mapping[str, str], stdin: bytes, seconds: float = 60.0) -> Done:
        """Run the command to its end; it is killed when it takes longer."""
        control = self._started()
        (in_read, in_write), (out_read, out_write), (err_read, err_write) = (os.pipe() for _ in range(3))
        given = (in_read, out_write, err_write)
        socket.send_fds(control, [json.dumps([list(args), dict(env)]).encode() + b"\n"], given)
        for end in given:
            os.close(end)
        pid = int(await asyncio.to_thread(_line, control))
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
                tasks.create_task(asyncio.to_thread(_write, in_write, stdin))
                stdout = tasks.create_task(asyncio.to_thread(_read, out_read))
                stderr = tasks.create_task(asyncio.to_thread(_read, err_read))
                code = tasks.create_task(asyncio.to_thread(_line, control))
        except BaseException:  # cancellation too: nobody is left to read what it writes
            # Its threads end with it; what they read by then is of no use to the next run.
            os.kill(pid, signal.SIGKILL)
            self.stop()
            raise
        return Done(int(code.result()), stdout.result().decode(), stderr.result().decode())

    def stop(self) -> None:
        """End the process that forks."""
        if self._control is not None and self._process is not None:
            self._control.close()
            self._process.wait(10)
        self._control = self._process = None

    def _started(self) -> socket.socket:
        if self._control is None:
            self._control, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tests.support.forking", str(theirs.fileno())],
                    cwd=_ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                )  # fmt: skip
        return self._control


def _line(control: socket.socket) -> bytes:
    """The next line; an error when the other side is gone."""
    line = b""
    while not line.endswith(b"\n"):
        more = control.recv(1)
        if not more:
            raise EOFError("the process that forks has ended")
        line += more
    return line


def _read(end: int) -> bytes:
    with open(end, "rb") as file:
        return file.read()


def _write(end: int, data: bytes) -> None:
    try:
        with open(end, "wb", buffering=0) as file:
            while data:
                data = data[file.write(data) :]
    except BrokenPipeError:
        pass  # the command has not read it all


# ---- in the process that forks


def _requests(control: socket.socket) -> None:
    """Fork for each request until there are no more; a child does not return."""
    from sdrs_async.command.cli import main

    while True:
        request, streams, _, _ = socket.recv_fds(control, 65_536, 3)
        if not request:
            # What was covered here is what every child has covered too.
            os._exit(0)
        while not request.endswith(b"\n"):
            request += control.recv(65_536)
        pid = os.fork()
        if pid == 0:
            control.close()
            args, env = json.loads(request)
            _become(args, env, streams, main)
        for end in streams:
            os.close(end)
        control.sendall(b"%d\n" % pid)
        control.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _become(args: Sequence[str], env: Mapping[str, str], streams: Sequence[int], main: Callable[[], None]) -> None:
    """Be the command, to the end of the process."""
    for number, end in enumerate(streams):
        os.dup2(end, number)
        os.close(end)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115 - open until the end
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115 - like these
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["sdrs-async", *args]
    code = 0
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    # Taking the interpreter apart would copy all the memory that is shared with the other process.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    for module in _LOADED:
        importlib.import_module(module)
    gc.freeze()  # a collection in a child would copy all of it
    _requests(socket.socket(fileno=int(sys.argv[1])))
