"""The simulator as a server for other processes, until a signal ends it."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from sdrs_async.command.interrupts import received
from sdrs_async.command.terminal import to_stdout
from sdrs_async.errors import ConfigError
from sdrs_async.simulator import Fault, Simulator

__all__ = ["listening", "serve", "simulator_with"]


def simulator_with(*, faults: Iterable[str], **wanted: Any) -> Simulator:
    """The simulator that the flags describe, which does not listen yet. `faults` as the flag spells them.

    `wanted`: more parameters of the `Simulator`. Raises `ConfigError` for values that it refuses.
    """
    try:
        return Simulator(faults=[Fault.parse(fault) for fault in faults], **wanted)
    except ValueError as error:
        raise ConfigError(str(error)) from None


@asynccontextmanager
async def listening(simulator: Simulator, port: int) -> AsyncIterator[None]:
    """It serves while the block lasts. Raises `ConfigError` when it cannot listen on the port."""
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(simulator)
        except OSError as error:
            raise ConfigError(f"cannot listen on port {port}: {error.strerror or error}") from None
        yield


async def serve(simulator: Simulator, port: int) -> None:
    """Listen on loopback, say so on stdout, and return on SIGINT or SIGTERM. Raises `ConfigError` like `listening`."""
    with received(signal.SIGINT, signal.SIGTERM) as signals:
        async with listening(simulator, port):
            exports = (f"export {name}={shlex.quote(value)}\n" for name, value in simulator.environment.items())
            with to_stdout():
                sys.stdout.write(f"{simulator.url}\n{''.join(exports)}\n")
            await anext(signals)
