"""The command `simulate`: the simulator as a server for other processes, until a signal or COMMAND ends it."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from sdrs_async.command.flags import Group, simulated
from sdrs_async.command.options import with_flags
from sdrs_async.command.signals import received
from sdrs_async.command.streams import to_stdout
from sdrs_async.errors import ConfigError

if TYPE_CHECKING:
    from sdrs_async.simulator import Simulator

NOTES = (
    "Exit codes: that of COMMAND, 127 where it was not found, 126 where it cannot be run; without it 0, stopped "
    "by Ctrl-C or SIGTERM; 2 bad usage, or the port is taken."
)

_number = partial(simulated, metavar="NUMBER", min=0)
_seconds = partial(simulated, metavar="SECONDS", min=0)
_rate = partial(simulated, metavar="LIMIT")


WindowKind = StrEnum("WindowKind", ["SLIDING", "FIXED", "BUCKET"])


@dataclass(frozen=True)
class Server(Group):
    """What is simulated, by the names of the parameters of a `Simulator`."""

    port: int = _number("Port on 127.0.0.1; 0 takes any free one.", max=65535, default=0)
    projects: int = _number("Projects.", default=3)
    groups: int = _number("Protection groups per project.", default=4)
    failed_tasks: int = _number("Failed tasks per group.", default=2)
    seed: int = simulated("Ids, credentials and faults follow from it.", "NUMBER", default=0)
    latency: float = _seconds("Seconds from a request to its answer.", default=0.0)
    jitter: float = _seconds("A random part of up to so many seconds on top of the latency.", default=0.0)
    project_rate: str = _rate("Requests per project, like 10/s; more get a 429.", default="none")
    user_rate: str = _rate("Requests per user, like 200/5min; more get a 429.", default="none")
    endpoint_rate: str = _rate("Requests in all; more get a 429.", default="none")
    address_rate: str = _rate("Requests per source address; more get a 429.", default="none")
    window: WindowKind = simulated(
        "How these limits are counted: sliding, fixed, or bucket (of tokens).", "KIND", default=WindowKind.SLIDING
    )
    hidden: bool = simulated("A 429 does not tell the limit.", default=False, name="--hidden-limits")
    count_refused: bool = simulated("What gets a 429 uses up the limit as well.", default=False)
    faults: list[str] | None = simulated(
        "What goes wrong, repeatable: a status, latency, hang, reset-before, reset-after, cut-off, wrong-json or "
        "close, and its share of the requests: 503=5%, 429=0.02, latency=2%:0.5, 404@list_groups=1.",
        "KIND[@ROUTE]=SHARE[:SECONDS]",
        name="--fault",
    )

    def simulator(self) -> Simulator:
        """It does not listen yet. Raises `ConfigError` for values that it refuses."""
        from sdrs_async.simulator import Fault, Simulator

        try:
            faults = [Fault.parse(fault) for fault in self.faults or ()]
            return Simulator(**{**asdict(self), "window": self.window.value, "faults": faults})
        except ValueError as error:
            raise ConfigError(str(error)) from None


@with_flags
def simulate(
    *,
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- COMMAND ARG",
            help="What runs beside the server, with its credentials; the server ends with it.",
            show_default=False,
        ),
    ] = None,
    server: Server,
) -> int:
    """Run the embedded SDRS and IAM server on 127.0.0.1, while COMMAND runs or until Ctrl-C.

    COMMAND starts when the server is ready. Its environment, and the files that this names, hold credentials of each
    kind, a clouds.yaml with the cloud `simulated` among them. Yours are kept from it: variables, clouds.yaml and
    ~/.huaweicloud/credentials. A fleet file and --endpoint still lead where they say.

    Without COMMAND: prints its URL, then lines for a shell that export working credentials, then an empty line.
    """
    from sdrs_async.command.beside import become

    simulator = server.simulator()
    serving = _listening(simulator, server.port)
    if command:
        return become(serving, simulator, command)
    anyio.run(_serve, serving, simulator)
    return 0


@asynccontextmanager
async def _listening(simulator: Simulator, port: int) -> AsyncIterator[None]:
    """It serves while the block lasts. Raises `ConfigError` when it cannot listen on the port."""
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(simulator)
        except OSError as error:
            raise ConfigError(f"cannot listen on port {port}: {error.strerror or error}") from None
        yield


async def _serve(serving: AbstractAsyncContextManager[None], simulator: Simulator) -> None:
    """Serve on loopback, say so on stdout, and return on SIGINT or SIGTERM. Raises what `serving` does."""
    with received(signal.SIGINT, signal.SIGTERM) as signals:
        async with serving:
            exports = (f"export {name}={shlex.quote(value)}\n" for name, value in simulator.environment.items())
            with to_stdout():
                sys.stdout.write(f"{simulator.url}\n{''.join(exports)}\n")
            await anext(signals)
