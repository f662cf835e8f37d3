"""The simulator as a server for other processes, until a signal ends it."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Any

from sdrs_async.command.interrupts import received
from sdrs_async.command.terminal import to_stdout
from sdrs_async.errors import ConfigError
from sdrs_async.simulator import Fault, Simulator

__all__ = ["serve"]


async def serve(
    *,
    faults: Iterable[str],
    port: int,
    projects: int,
    groups: int,
    failed_tasks: int,
    seed: int,
    latency: float,
    **behaviour: Any,
) -> None:
    """Listen on loopback, say so on stdout, and return on SIGINT or SIGTERM. `faults` as the flag spells them.

    `behaviour`: more parameters of the `Simulator`.

    Raises `ConfigError` for values that the simulator refuses, and when it cannot listen.
    """
    try:
        simulator = Simulator(
            faults=[Fault.parse(fault) for fault in faults], port=port, projects=projects, groups=groups,
            failed_tasks=failed_tasks, seed=seed, latency=latency, **behaviour,
        )  # fmt: skip
    except ValueError as error:
        raise ConfigError(str(error)) from None
    async with AsyncExitStack() as stack:
        signals = stack.enter_context(received(signal.SIGINT, signal.SIGTERM))
        try:
            await stack.enter_async_context(simulator)
        except OSError as error:
            raise ConfigError(f"cannot listen on port {port}: {error.strerror or error}") from None
        exports = (f"export {name}={shlex.quote(value)}\n" for name, value in simulator.environment.items())
        with to_stdout():
            sys.stdout.write(f"{simulator.url}\n{''.join(exports)}\n")
        await anext(signals)
