"""The two doors of the library: `clean()` returns one report, `stream()` hands out each outcome as it settles.

The only module that knows all the parts: it puts client, engine and report together for one run.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Self

import anyio

from sdrs_async.auth import Auth
from sdrs_async.client import Client
from sdrs_async.engine import GRACE, Engine
from sdrs_async.errors import AuthenticationError, SdrsError
from sdrs_async.models import Limits, Outcome, RetryPolicy
from sdrs_async.reading import READ_AHEAD, Source, Targets, sources
from sdrs_async.report import Report

__all__ = ["Run", "clean", "stream"]

# The engine pauses while so many outcomes wait for their consumer, and goes on at half of it.
_BUFFER = 1024


async def clean(
    targets: Targets,
    *,
    endpoint: str,
    auth: Auth,
    limits: Limits | None = None,
    retry: RetryPolicy | None = None,
    read_ahead: int = READ_AHEAD,
    ca_file: str | None = None,
    allow_http: bool = False,
) -> Report:
    """Delete the failed tasks of every target and return the report; what is deleted is gone for good.

    `targets`: an iterable or async iterable of `Target` or 2-tuples, or a mapping of project id to an iterable of group
    ids; read lazily, at most `read_ahead` of a flat one are held. `endpoint`: the service's URL, `https` unless it is
    on this machine or `allow_http` is set. `ca_file`: PEM certificates instead of the system's. `limits` and `retry`
    default to `Limits()` and `RetryPolicy()`.

    A target's failure is data in the report. Raises `ConfigError` for bad arguments before anything is read, and for a
    bad item, and `AuthenticationError` when no account could sign in; the latter two carry the report so far.
    Cancelling the caller cancels the run at once; nothing is left behind.
    """
    limits, retry = limits or Limits(), retry or RetryPolicy()
    plan = sources(targets, read_ahead)
    with _single_error():
        async with Client(endpoint, auth, limits=limits, retry=retry, ca_file=ca_file, allow_http=allow_http) as client:
            run = Run(client, limits, retry, deliver=False)
            await run.drive(plan)
    run.raise_error()
    return run.report


@asynccontextmanager
async def stream(
    targets: Targets,
    *,
    endpoint: str,
    auth: Auth,
    limits: Limits | None = None,
    retry: RetryPolicy | None = None,
    read_ahead: int = READ_AHEAD,
    ca_file: str | None = None,
    allow_http: bool = False,
) -> AsyncIterator[Run]:
    """Run like `clean()`, and hand out each outcome as it settles: `async with stream(...) as run: async for ...`.

    At most about 1,000 outcomes wait for a slow consumer, then the run waits too. Leaving the context before the
    iteration has ended cancels the rest; `run.report` then counts it as unsettled.
    """
    limits, retry = limits or Limits(), retry or RetryPolicy()
    plan = sources(targets, read_ahead)
    with _single_error():
        async with Client(endpoint, auth, limits=limits, retry=retry, ca_file=ca_file, allow_http=allow_http) as client:
            run = Run(client, limits, retry, deliver=True)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run.drive, plan)
                yield run
                tasks.cancel_scope.cancel()


class Run:
    """One run that is under way: an async iterator of its outcomes. `report` counts live, and is complete at the end.

    Comes from `stream()`. An error that stopped the run is raised where the iteration ends.
    """

    def __init__(self, client: Client, limits: Limits, retry: RetryPolicy, *, deliver: bool) -> None:
        self.report = Report(limits, clock=asyncio.get_running_loop().time)
        self._engine = Engine(client.send, self._deliver if deliver else self.report.add, limits, retry)
        self._buffer: deque[Outcome] = deque()
        self._news = asyncio.Event()
        self._paused = False
        self._stopped = False
        self._signal: int | None = None
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        """The next outcome. Raises what stopped the run: `ConfigError`, `AuthenticationError`."""
        while not self._buffer:
            if self._ended:
                self.raise_error()
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        if self._paused and len(self._buffer) <= _BUFFER // 2:
            self._paused = False
            self._engine.resume()
        return self._buffer.popleft()

    def stop(self, grace: float = GRACE, *, signal: int | None = None) -> None:
        """Start nothing new; requests on the wire get `grace` seconds for their answer, the rest is unsettled.

        The iteration then ends as it does otherwise, and the report says that it was interrupted (by `signal`, if one
        is given). May be called again, with less grace.
        """
        if not self._ended:
            self._stopped = True
            self._signal = self._signal or signal
            self._engine.stop(grace)

    def held(self) -> tuple[int, float]:
        """How many scopes wait because of a 429, and the seconds until the last of them goes on."""
        return self._engine.fleet.held(anyio.current_time())

    async def drive(self, plan: Iterable[Source]) -> None:
        """Do the run; called once, by `clean()` and `stream()`."""
        complete = False
        try:
            await self._engine.run(plan)
            complete = self._engine.error is None
        finally:
            books = self._engine.settlement
            self.report.signed_in, self.report.refused = books.signed_in, books.refused is not None
            self.report.add_duplicate(self._engine.intake.duplicates)
            self.report.finish(self._signal, stopped=self._stopped or not complete)
            self._ended = True
            self._news.set()

    def raise_error(self) -> None:
        """Raise what stopped the run, with the report; nothing when nothing did, or when it was told to stop."""
        error, books = self._engine.error, self._engine.settlement
        if error is None and not self._stopped and books.refused is not None and not books.signed_in:
            reason = books.refused.rstrip(". ") or "the credential was refused"
            error = AuthenticationError(
                f"no account could sign in ({reason}); nothing was deleted. Get a new token for these projects"
            )
        if isinstance(error, SdrsError):
            error.report = self.report
        if error is not None:
            raise error

    def _deliver(self, outcome: Outcome) -> None:
        self.report.add(outcome)
        self._buffer.append(outcome)
        self._news.set()
        if len(self._buffer) >= _BUFFER and not self._paused:
            self._paused = True
            self._engine.pause()


@contextmanager
def _single_error() -> Iterator[None]:
    """Let an exception group of one member out as that member: callers catch `ConfigError`, not a group of it."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if error is group:
            raise
        raise error from error.__cause__
