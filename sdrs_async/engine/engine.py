"""One run from its beginning to its end: what it is made of, how it is stopped, what its tasks may raise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from random import Random, SystemRandom
from typing import Any, TypeVar

import anyio

from sdrs_async.engine.course import Course, Stage, stray
from sdrs_async.engine.intake import Intake, Reader, Source
from sdrs_async.engine.lanes import Job
from sdrs_async.engine.loop import Workers
from sdrs_async.engine.queue import Fleet
from sdrs_async.engine.settlement import Settlement
from sdrs_async.engine.users import User
from sdrs_async.limits import RetryPolicy
from sdrs_async.models import Listing, Outcome, ProjectLevel, Reply, Target, Verdict

T = TypeVar("T")

GRACE = 3.0
"""Seconds that requests on the wire get for their answer when a run is stopped."""

# How exactly a target's total time is kept while it waits for its turn: to a twentieth of it, or a second.
_SWEEPS, _SHORTEST_SWEEP = 20, 1.0
# How much of long work is done in a row, a millisecond or two of it, and the seconds of rest after that. Not as much as
# a clock allows: what runs in virtual time shall do the same each time.
_IN_A_ROW, _REST = 100, 0.002


class Engine:
    """One run, made in the event loop that it runs in. `emit` is called once per target, as soon as it settles.

    `accept`: gets the targets that are read, each with the name of its account, instead of them being sent, where a run
    only lists. `error`: what stopped the run; `completed`: it ended because nothing was left to do; `course`: how far
    it has come.
    """

    def __init__(
        self,
        fleet: Fleet,
        emit: Callable[[Outcome], None],
        policy: RetryPolicy,
        *,
        accept: Callable[[Target | ProjectLevel, str], None] | None = None,
        rng: Random | None = None,
    ) -> None:
        self.fleet = fleet
        self.settlement = Settlement(fleet, policy, rng or SystemRandom(), emit)
        self.intake = Intake(self._accept, self._reading_failed)
        self.error: BaseException | None = None
        self.completed = False
        self.course = Course(self.shut)
        self._workers = Workers(self.settlement, self.intake, policy, self.course, self._spawn)
        self._hand_over = accept
        self._pause_of_sweeps = max(_SHORTEST_SWEEP, policy.total / _SWEEPS)
        self._loop = asyncio.get_running_loop()

    # ---- from start to end

    def open(self) -> None:
        """Take the fleet, as `run` does. Raises `ConfigError` beside another run, whose targets it would take too."""
        if self.course.stage is Stage.MADE:
            self.fleet.open(stopped=self.course.stopped, give_up=self.give_up)
            self.course.advance(Stage.OPEN)

    async def run(self, readers: Iterable[Reader]) -> None:
        """Settle every target of the readers; returns when all are, or when the run was stopped.

        Whatever goes wrong ends the run and is kept in `error`: an error of a reader as `stop` does, any other one at
        once. From the moment on at which it is cancelled nothing is sent.
        """
        self.open()
        try:
            async with anyio.create_task_group() as self._tasks:
                self._spawn(self._read, readers)
                self._spawn(self._sweep)
                self._spawn(self._workers.watch)
                await self._guarded(self._workers.dispatch)
                self.completed = self._workers.is_done()
                self._tasks.cancel_scope.cancel()
        finally:
            self._end()

    def stop(self, grace: float = GRACE) -> None:
        """Start nothing new; requests on the wire get `grace` seconds for their answer, the rest is unsettled.

        A second word can only cut that short. May be called from anywhere: a task, a callback of the loop, a signal
        handler, another thread.
        """
        self.course.stop()
        self._loop.call_soon_threadsafe(self._drain, grace)

    def _drain(self, grace: float) -> None:
        now = self.course.now()
        if self.course.stage is Stage.OPEN:
            self.fleet.close()
            self.course.grace.set(min(self.course.grace.at, now + grace))
            self.settlement.interrupt(self.fleet.drain(), now)
            self._workers.wake()

    def shut(self) -> None:
        """Start nothing more, by no path, and wait for nothing; from any task or callback of the loop."""
        if Stage.OPEN <= self.course.stage < Stage.ENDED:
            self.course.advance(Stage.OVER)
            self.fleet.close()
            self._workers.shut()

    def give_up(self, error: BaseException) -> None:
        """End at once, by this error, unless there is one already."""
        self.error = self.error or error
        self.shut()

    def _end(self) -> None:
        """What is not settled is interrupted, and the fleet is free for another run."""
        self.shut()
        self.course.advance(Stage.ENDED)
        now = self.course.now()
        self._workers.end(now)
        self.settlement.interrupt(self.fleet.drain(), now)
        self.fleet.end(now)

    def pause(self) -> None:
        """Read and send nothing new while whoever takes the outcomes is behind."""
        self.intake.pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        self.intake.resume()
        self._workers.wake()

    # ---- tasks, all of one group

    def _spawn(self, work: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> None:
        self._tasks.start_soon(self._guarded, work, *arguments)

    async def _guarded(self, work: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> None:
        """Let the first error that any task meets be the one of the run, and no task be cancelled unnoticed."""
        try:
            await work(*arguments)
        except asyncio.CancelledError as cancelled:
            self.shut()
            self.error = self.error or stray(cancelled, "a request")
        except BaseException as error:  # the group of tasks would make a group of it
            self.give_up(error)

    async def _sweep(self) -> None:
        """Now and then fail those whose time ran out while they waited behind others for a shared limit."""
        while True:
            await anyio.sleep(self._pause_of_sweeps)
            await one_by_one(lambda lane: self.settlement.sweep(lane, self.course.now()), self.fleet.lanes())
            self._workers.wake()

    # ---- what comes in

    async def _read(self, readers: Iterable[Reader]) -> None:
        try:
            await self.intake.read(readers)
        finally:
            self._workers.wake()

    def _reading_failed(self, error: BaseException) -> None:
        self.error = self.error or error
        self.stop()

    def _accept(self, target: Target | ProjectLevel, source: Source) -> None:
        if self._hand_over is not None:
            source.budget.release()
            self._hand_over(target, source.user.name)
            return
        self._workers.add(Job(target, self.fleet.lane(target.project_id, source.user), source.budget))

    def ask(self, user: User, page: Listing) -> asyncio.Future[Reply]:
        """The reply to one page of a list, which takes its turn in the lane of its project as a target does.

        Its verdict is `READ`, or what it failed as; `SKIPPED` and `UNSETTLED` where it was not sent.
        """
        answer: asyncio.Future[Reply] = self._loop.create_future()
        if self.course.stage is Stage.ENDED:  # the fleet may be another run's by now
            answer.set_result(Reply(Verdict.UNSETTLED, message="not asked for: the run has ended"))
        else:
            self._workers.add(Job(page, self.fleet.lane(page.project_id, user), None, answer=answer))
        return answer


async def one_by_one(do: Callable[[T], None], items: Iterable[T]) -> None:
    """Do something with each of the items that there are now, and let the loop do all else in between."""
    for number, item in enumerate(list(items), 1):
        do(item)
        if number % _IN_A_ROW == 0:
            await anyio.sleep(_REST)
