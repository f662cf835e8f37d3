"""How many Python functions one undisturbed request calls: a figure without noise, two runs print the same.

    python -m benchmarks.calls [--requests N]

The real engine and the real client delete targets of 100 projects with 64 requests in flight, under limits that hold
nothing back. Below the connection there is no network: what is written to it is answered 204 after 20 ms of virtual
time, so that nothing depends on the machine. Counted is the difference of two runs, one of which does so many requests
more; a coroutine that goes on after a wait is counted again, as the interpreter does.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import socket
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import aiohttp

import sdrs_async
from benchmarks.by_hand import LATENCY
from benchmarks.engine_overhead import LIMITS, TOKEN, targets
from sdrs_async import RetryPolicy, StaticToken
from sdrs_async.cloud.client import Client
from sdrs_async.engine.engine import Engine
from sdrs_async.engine.intake import READ_AHEAD, sources
from sdrs_async.engine.queue import Fleet
from sdrs_async.laboratory.virtual_time import VirtualTimeLoop
from sdrs_async.models import Call, Reply
from sdrs_async.report import Ledger

WARM_UP = 1000
MOST = 10
# As nginx, against which `engine_overhead` measures, answers.
ANSWER = (
    b"HTTP/1.1 204 No Content\r\nServer: nginx\r\nDate: Sat, 28 Nov 2026 08:00:00 GMT\r\nConnection: keep-alive\r\n\r\n"
)
PACKAGE = str(Path(sdrs_async.__file__).parent)
LABORATORY = str(Path(PACKAGE, "laboratory"))  # whose clock stands here for the loop's own


class Wire(asyncio.Transport):
    """A connection without a network: each request that is written gets its answer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        silent, self._other = socket.socketpair()  # which the pool asks whether anything has come
        super().__init__({"socket": silent})
        self._loop = loop
        self._protocol = protocol
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if bytes(data).endswith(b"\r\n\r\n"):
            self._loop.call_later(LATENCY, self._protocol.data_received, ANSWER)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self.get_extra_info("socket").close()
            self._other.close()
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close


class Loop(VirtualTimeLoop):
    """A loop whose connections are `Wire`s."""

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Nobody is there."""

    async def create_connection(self, *given: Any, **named: Any) -> Any:
        named["sock"].close()
        protocol = given[0]()
        wire = Wire(self, protocol)
        protocol.connection_made(wire)
        return wire, protocol


async def delete(count: int) -> None:
    """Delete so many targets."""
    endpoint, retry, report = "http://127.0.0.1:9", RetryPolicy(), Ledger(LIMITS)
    async with Client(endpoint, StaticToken(TOKEN), limits=LIMITS, retry=retry, allow_http=True) as client:

        async def send(call: Call, timeout: float) -> Reply:  # noqa: ASYNC109 - the engine's own protocol
            reply = await client.send(call, timeout)
            reply.elapsed = LATENCY  # what the client reads of a real clock would be noise
            return reply

        fleet = Fleet(LIMITS.concurrency)
        user = fleet.user("", endpoint, send, LIMITS)
        await Engine(fleet, report.add, retry).run(sources(targets(count), READ_AHEAD, user))
    report.finish()
    if report.to_dict()["targets"]["done"] != count:
        raise RuntimeError("the run is not clean")


def counted(count: int) -> Counter[CodeType]:
    """The calls of each Python function in a run of so many requests."""
    calls: Counter[CodeType] = Counter()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            calls[frame.f_code] += 1

    with asyncio.Runner(loop_factory=Loop) as runner:
        sys.setprofile(note)
        try:
            runner.run(delete(count))
        finally:
            sys.setprofile(None)
    return calls


def of_package(code: CodeType) -> bool:
    """Whether it is a function of the package, the laboratory apart."""
    return code.co_filename.startswith(PACKAGE) and not code.co_filename.startswith(LABORATORY)


def main() -> None:
    """Parse the arguments, count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3_000)
    parser.add_argument("--most", type=int, default=MOST, help="how many of the functions are shown")
    arguments = parser.parse_args()
    counted(WARM_UP)  # what is done once in a process is done now
    before = counted(WARM_UP)
    calls = counted(WARM_UP + arguments.requests)
    calls.subtract(before)
    own = Counter({code: number for code, number in calls.items() if of_package(code)})
    scene = sum(number for code, number in calls.items() if code.co_filename == __file__)
    print(f"Python {platform.python_version()}, aiohttp {aiohttp.__version__}, {arguments.requests} requests")
    print(f"{own.total() / arguments.requests:8.2f} calls of the package for each request")
    print(f"{(calls.total() - scene) / arguments.requests:8.2f} calls of Python functions in all")
    for code, number in own.most_common(arguments.most):
        name = f"{Path(code.co_filename).relative_to(PACKAGE)} {code.co_qualname}"
        print(f"{number / arguments.requests:8.2f}   {name}")


if __name__ == "__main__":
    main()
