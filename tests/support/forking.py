"""The command, loaded once for many runs: each is a fork of one process that has imported it, and a process like any.

It has its own arguments, variables, streams, main thread and exit code, and coverage sees it; only the second that the
imports take is not paid again. What depends on how Python starts up is for `tests.support.command.fresh`.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

# What the command imports, at its start and for what most runs do.
_LOADED = (
    "sdrs_async.command.app", "sdrs_async.command.cleanup", "sdrs_async.command.planning", "sdrs_async.simulator",
    "anyio._backends._asyncio", "pydantic.type_adapter", "pydantic.types", "pydantic.plugin._loader",
    "rich._emoji_codes",
    "rich.markdown", "rich.panel", "jinja2", "openstack.config",
)  # fmt: skip

__all__ = ["FORKS", "Done", "Forked", "Stem"]

FORKS = sys.platform == "linux"
"""Whether a process that has loaded libraries may fork; on a Mac it may crash."""

# What a process inherits as ignored, and what the command handles.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ROOT = Path(__file__).resolve().parents[2]


class Done(NamedTuple):
    """What a process left: exit code (negative: the signal that killed it) and what it wrote."""

    code: int
    stdout: str
    stderr: str


class Forked:
    """A run that was forked, with what `asyncio.subprocess.Process` has for its tests."""

    def __init__(self, pid: int, ended: asyncio.StreamReader, pipes: Sequence[Any]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin: asyncio.StreamWriter | None
        self.stdout: asyncio.StreamReader | None
        self.stderr: asyncio.StreamReader | None
        self.stdin, self.stdout, self.stderr = pipes
        self._end = asyncio.create_task(self._ended(ended))

    async def _ended(self, ended: asyncio.StreamReader) -> int:
        self.returncode = int(await ended.readline())
        return self.returncode

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        return await asyncio.shield(self._end)

    async def communicate(self, stdin: bytes = b"") -> tuple[bytes | None, bytes | None]:
        """Give it its input and read its output, to its end."""
        stdout, stderr, *_ = await asyncio.gather(_all(self.stdout), _all(self.stderr), self._feed(stdin), self.wait())
        return stdout, stderr

    def send_signal(self, number: int) -> None:
        """Send a signal; one that has ended gets none."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    async def _feed(self, stdin: bytes) -> None:
        if self.stdin is not None:
            with suppress(BrokenPipeError, ConnectionResetError):  # the command has not read it all
                self.stdin.write(stdin)
                await self.stdin.drain()
            self.stdin.close()


class Stem:
    """The process that forks, started with the first run."""

    def __init__(self) -> None:
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @asynccontextmanager
    async def process(
        self, args: Sequence[str], env: Mapping[str, str], stdin: int = PIPE, stdout: int = PIPE, stderr: int = PIPE
    ) -> AsyncIterator[Forked]:
        """Start the command; it is killed if the block leaves it running. A stream is `PIPE` or a descriptor."""
        control = self._started()
        ends = [_ends(stream, number) for number, stream in enumerate((stdin, stdout, stderr))]
        told, tells = os.pipe()
        ignored = [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_IGN]
        request = json.dumps([list(args), dict(env), ignored]).encode()
        socket.send_fds(control, [request], [*(theirs for theirs, _ in ends), tells])
        for end in [tells, *(theirs for theirs, ours in ends if ours is not None)]:
            os.close(end)
        transports: list[asyncio.BaseTransport] = []
        try:
            ended = await _reader(told, transports)
            streams = [
                None if ours is None else await (_reader if number else _writer)(ours, transports)
                for number, (_, ours) in enumerate(ends)
            ]
            command = Forked(int(await ended.readline()), ended, streams)
            try:
                yield command
            finally:
                command.kill()
                await command.wait()
        finally:
            for transport in transports:
                transport.close()

    def stop(self) -> None:
        """End the process that forks."""
        if self._control is not None and self._process is not None:
            self._control.close()
            self._process.wait(10)
        self._control = self._process = None

    def _started(self) -> socket.socket:
        if self._control is None:
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tests.support.forking", str(theirs.fileno())],
                    cwd=_ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                )  # fmt: skip
        return self._control


def _ends(stream: int, number: int) -> tuple[int, int | None]:
    """The command's end of a stream, and the test's where there is a pipe between them."""
    if stream != PIPE:
        return stream, None
    read, write = os.pipe()
    return (write, read) if number else (read, write)


async def _reader(end: int, transports: list[asyncio.BaseTransport]) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(end, "rb", 0))
    transports.append(transport)
    return reader


async def _writer(end: int, transports: list[asyncio.BaseTransport]) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
    transport, _ = await loop.connect_write_pipe(lambda: protocol, os.fdopen(end, "wb", 0))
    transports.append(transport)
    return asyncio.StreamWriter(transport, protocol, None, loop)


async def _all(stream: asyncio.StreamReader | None) -> bytes | None:
    return None if stream is None else await stream.read()


# ---- in the process that forks


def _requests(control: socket.socket) -> None:
    """Fork for each request, and tell how each fork ended, until there are no more; a child does not return."""
    from sdrs_async.command.cli import main

    running: dict[int, tuple[int, int]] = {}  # process and where to tell, by a descriptor that its end makes readable
    with selectors.DefaultSelector() as ready:
        ready.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fd in running:
                    ready.unregister(key.fd)
                    _tell(key.fd, *running.pop(key.fd))
                    continue
                request, received, _, _ = socket.recv_fds(control, 1 << 20, 4)
                if not request:
                    # What was covered here is what every child has covered too.
                    os._exit(0)
                *streams, tells = received
                pid = os.fork()
                if pid == 0:
                    others = [end for watched, (_, end) in running.items() for end in (watched, end)]
                    for end in [control.fileno(), ready.fileno(), tells, *others]:
                        os.close(end)
                    _become(request, streams, main)
                for end in streams:
                    os.close(end)
                os.write(tells, b"%d\n" % pid)
                watched = os.pidfd_open(pid)
                running[watched] = pid, tells
                ready.register(watched, selectors.EVENT_READ)


def _tell(watched: int, pid: int, tells: int) -> None:
    os.close(watched)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(BrokenPipeError):
        os.write(tells, b"%d\n" % code)
    os.close(tells)


def _become(request: bytes, streams: Sequence[int], main: Callable[[], None]) -> None:
    """Be the command, to the end of the process."""
    args, env, ignored = json.loads(request)
    for name in _SIGNALS:
        own = signal.default_int_handler if name is signal.SIGINT else signal.SIG_DFL
        signal.signal(name, signal.SIG_IGN if name in ignored else own)
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
