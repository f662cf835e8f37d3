"""A run under way: what it hands out, how it is stopped, and its report."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Generic, Self, TypeVar, cast

import anyio

from sdrs_async.cloud import events
from sdrs_async.cloud.listing import Project
from sdrs_async.engine.engine import GRACE, Engine, one_by_one
from sdrs_async.engine.intake import Reader
from sdrs_async.engine.survey import Survey
from sdrs_async.engine.users import User
from sdrs_async.errors import AuthenticationError, SdrsError, check, is_time
from sdrs_async.limits import Learned, UsedUp
from sdrs_async.models import Listing, Outcome, ProjectLevel, Reply, Target
from sdrs_async.report import Ledger

# The engine pauses while so many outcomes wait for their consumer, and goes on at half of it.
_BUFFER = 1024
_REFUSED = "the credential was refused"

T = TypeVar("T")


class Running(Generic[T]):
    """An async iterator of what a run brings forth. `report` counts live; an error that stopped the run is raised where
    the iteration ends.

    Where targets are looked for, by the account's name, `projects`: those of each, as far as known by now; `left_out`:
    how many others it has, by the reason.
    """

    _called = "run"

    def __init__(self, engine: Engine, report: Ledger) -> None:
        self.report = report
        self.projects: dict[str, list[Project]] = {}
        self.left_out: dict[str, Counter[str]] = {}
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._buffer: deque[T] = deque()
        self._news = asyncio.Event()
        self._paused = False
        self._stopped = False
        self._signal: int | None = None
        self._ended = asyncio.Event()

    def __repr__(self) -> str:
        state = "ended" if self._ended.is_set() else "stopping" if self._stopped else "under way"
        counts = ", ".join(f"{name}={count:,}" for name, count in self._became().items() if count)
        return f"<{type(self).__name__} {self.report.run_id}, {state}: {counts or 'nothing yet'}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """The next one. Raises what stopped the run: `ConfigError`, `AuthenticationError`."""
        if self._engine.course.is_abandoned():  # and goes on all the same
            self._engine.shut()
        while not self._buffer:
            if self._ended.is_set():
                self._raise_error()
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        if self._paused and len(self._buffer) <= _BUFFER // 2:
            self._paused = False
            self._engine.resume()
        return self._buffer.popleft()

    def stop(self, grace: object = GRACE, frame: object = None, *, signal: int | None = None) -> None:
        """Start nothing new; requests on the wire get `grace` seconds for their answer, the rest is unsettled.

        The iteration then ends as it does otherwise, and the report says that it was interrupted (by `signal`, if one
        is given). May be called again, with less grace; and from anywhere: a task, a callback of the loop, a signal
        handler, another thread. It may itself be the handler of `signal.signal`, which is given a number and a `frame`,
        or a done callback, which is given a future. Raises `ConfigError` for a grace that is no number of seconds of at
        least 0.
        """
        if frame is not None:
            grace, signal = GRACE, signal or cast(int, grace)
        elif isinstance(grace, asyncio.Future):
            grace = GRACE
        check(is_time(grace) or grace == 0, "grace", "a number of seconds of at least 0", grace)
        if not self._ended.is_set():
            self._stopped = True
            self._signal = self._signal or signal
            self._engine.stop(cast(float, grace))

    def held(self) -> tuple[int, float]:
        """How many scopes wait because of a 429, and the seconds until the last of them goes on.

        Looks at every project, as `learned` does: `survey` does not keep the loop for that.
        """
        waits = self.waits().values()
        return sum(count for count, _ in waits), max((seconds for _, seconds in waits), default=0.0)

    def waits(self) -> dict[str, tuple[int, float]]:
        """The same by the kind of scope: project, user, endpoint or sign-in."""
        now = self._loop.time()
        return self._engine.fleet.survey(now).waits(now)

    def used_up(self) -> list[UsedUp]:
        """The limits that let nothing start for seconds, without a 429, while something waits: the widest first."""
        now = self._loop.time()
        return self._engine.fleet.survey(now).used_up(now)

    async def survey(self) -> Survey:
        """What keeps the run, and what the server has shown, by a look at each project that takes its time."""
        fleet = self._engine.fleet
        survey = Survey(fleet.users)
        await one_by_one(lambda lane: survey.add(lane, self._loop.time()), fleet.lanes())
        return survey

    def is_reading(self) -> bool:
        """Whether more targets may come than are known by now."""
        return self._engine.intake.reading

    @property
    def duplicates(self) -> int:
        """How many targets were given more than once by now; the report counts them at the end."""
        return self._engine.intake.duplicates

    def learned(self) -> list[Learned]:
        """The limits that the server has shown by now."""
        return self._engine.fleet.survey(self._loop.time()).learned()

    # ---- for the session

    def _ask(self, user: User, page: Listing) -> asyncio.Future[Reply]:
        """The reply to one page of a list, asked for within the run."""
        return self._engine.ask(user, page)

    async def _drive(self, readers: Iterable[Reader]) -> None:
        """Do the run, once, after its engine was opened. What goes wrong is for `_raise_error`."""
        began, places = self._loop.time(), {user.called: user.endpoint.name for user in self._engine.fleet.users}
        events.begun(self._called, self.report.run_id, places)
        try:
            await self._engine.run(readers)
        finally:
            self._count()
            self._close(self._engine.completed and self._engine.error is None)
            self._ended.set()
            self._news.set()
            seconds, error = self._loop.time() - began, self._engine.error
            events.ended(self._called, self.report.run_id, seconds, self._became(), error)

    async def _give_up(self, error: Exception) -> None:
        """End it at once, by this error, unless it has ended, and wait until it has."""
        if not self._ended.is_set():
            self._engine.give_up(error)
        await self._ended.wait()

    def _count(self) -> None:
        """What only the engine's books know."""
        report, users = self.report, self._engine.fleet.users
        report.add_reads(self._engine.settlement.reads, self._engine.settlement.reads_throttled)
        refused = {user.name: user.standing for user in users if user.standing.refused is not None}
        failed = {
            name: its.refused or "" for name, its in refused.items() if its.stopped is not None or not its.signed_in
        }
        report.add_access(any(user.standing.signed_in for user in users), bool(refused), failed)
        for user in users:
            if (counts := user.sign_ins.counts) is not None:
                report.add_sign_ins(*counts.take())
        report.add_learned(self.learned())
        report.add_duplicates(self._engine.intake.duplicates)

    def _close(self, complete: bool) -> None:
        self.report.finish(self._signal, stopped=self._stopped or not complete)

    def _became(self) -> dict[str, int]:
        """What there was to do, and what became of it."""
        return self.report.targets

    def _raise_error(self) -> None:
        """Raise what stopped the run, with the report; nothing when nothing did, or when it was told to stop."""
        error = self._engine.error
        if error is None and not self._stopped:
            error = _no_account(self._engine.fleet.users)
        if error is not None:
            SdrsError.carry(error, self.report)
            raise error

    def _hand_out(self, item: T) -> None:
        """Keep one for the consumer."""
        self._buffer.append(item)
        self._news.set()
        if len(self._buffer) >= _BUFFER and not self._paused:
            self._paused = True
            self._engine.pause()


async def settle(run: Running[Any], readers: Iterable[Reader]) -> None:
    """Do a run whose results nobody takes one by one. Raises what stopped it, with its report."""
    run._engine.open()
    try:
        await run._drive(readers)
    except asyncio.CancelledError as error:
        SdrsError.carry(error, run.report)
        raise
    run._raise_error()


@asynccontextmanager
async def driving(run: Running[Any], readers: Iterable[Reader]) -> AsyncIterator[None]:
    """Let a run go on beside the block, and not a moment longer. What the block raises leaves as it is."""
    error: BaseException | None = None
    run._engine.open()
    run._engine.course.attend(asyncio.current_task())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run._drive, readers)
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit) as ending:
            SdrsError.carry(ending, run.report)
            raise
        except BaseException as raised:  # the group of tasks would make a group of it, `sys.exit()` included
            error = raised
        finally:
            run._engine.shut()
        tasks.cancel_scope.cancel()
    if error is not None:
        raise error


def _no_account(users: Iterable[User]) -> AuthenticationError | None:
    refused = {user.called: user for user in users if user.standing.refused is not None}
    if not refused or any(user.standing.signed_in for user in users):
        return None
    reasons = "; ".join(
        f"{name}: {(user.standing.refused or '').rstrip('. ') or _REFUSED}" for name, user in refused.items()
    )
    remedies = ". ".join(dict.fromkeys(_remedy(user) for user in refused.values()))
    return AuthenticationError(f"no account could sign in ({reasons}); nothing was deleted. {remedies}")


def _remedy(user: User) -> str:
    if user.key is not None:
        return (
            "Check access key, secret key and this machine's clock before the next try: more than 5 refusals lock the "
            "key for 5 minutes"
        )
    if user.sign_ins.sign_in is not None:
        return "Check user, password and the project or domain that is signed in to, before the next try"
    return "Get a new token for these projects"


class Run(Running[Outcome]):
    """One run that is under way: an async iterator of its outcomes. `report` is complete at the end.

    Comes from `stream()`.
    """


class Finding(Running[Target | ProjectLevel]):
    """Targets as they are found; nothing is deleted.

    `account`: the name of the one that the target handed out last was found with. Comes from `Session.find()`. Its
    report goes on with the run that deletes them.
    """

    _called = "finding of run"

    def __init__(self, engine: Engine, report: Ledger) -> None:
        super().__init__(engine, report)
        self.account = ""
        self._accounts: deque[str] = deque()

    async def __anext__(self) -> Target | ProjectLevel:
        """The next one. Raises what stopped the run, as for every run."""
        target = await super().__anext__()
        self.account = self._accounts.popleft()
        return target

    def _hand_out_of(self, account: str, target: Target | ProjectLevel) -> None:
        """Keep one for the consumer, with the account that it was found with."""
        self._accounts.append(account)
        self._hand_out(target)

    def _close(self, complete: bool) -> None:
        if self._stopped or not complete:
            super()._close(complete)

    def _became(self) -> dict[str, int]:
        return {"projects": self.report.discovery.projects, "groups": self.report.discovery.groups}
