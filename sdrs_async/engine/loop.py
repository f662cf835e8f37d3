"""The loop: read targets, send what is due, hand each reply to the settlement.

Knows no HTTP: `send` is handed in. Workers are few (the fleet's cap), and no task stands for a waiting target. Only
the dispatcher and the workers, which are tasks, take jobs and start tasks; timers, readers and whoever stops the run
only wake the dispatcher.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterable
from random import Random, SystemRandom
from typing import Any, Protocol, TypeVarTuple

import anyio

from sdrs_async.cloud.calls import groups_page
from sdrs_async.engine.alarm import Alarm
from sdrs_async.engine.course import Course, Stage, stray
from sdrs_async.engine.intake import Intake, Reader, Source
from sdrs_async.engine.lanes import Job
from sdrs_async.engine.queue import Fleet
from sdrs_async.engine.settlement import Settlement
from sdrs_async.engine.sign_ins import SignIns
from sdrs_async.engine.slices import one_by_one
from sdrs_async.engine.users import User
from sdrs_async.engine.watchdog import watch
from sdrs_async.limits import RetryPolicy
from sdrs_async.models import Listing, Outcome, ProjectLevel, Reply, Target, Verdict

__all__ = ["GRACE", "Engine", "Workers"]

Ts = TypeVarTuple("Ts")

GRACE = 3.0
"""Seconds that requests on the wire get for their answer when a run is stopped."""

# How exactly a target's total time is kept while it waits for its turn: to a twentieth of it, or a second.
_SWEEPS, _SHORTEST_SWEEP = 20, 1.0
# Until it is looked again at what should be due already, or at a host that was cancelled.
_SOON, _LATER = 0.001, 0.05


class _NoSlots:
    """A page of a list is held by who asked for it, one at a time."""

    def release(self) -> None:
        """Nothing was held."""


_NO_SLOTS = _NoSlots()


class Spawn(Protocol):
    """Starts a task of the run, from one of its tasks."""

    def __call__(self, work: Callable[[*Ts], Coroutine[Any, Any, None]], *arguments: *Ts) -> None: ...


class Workers:
    """The tasks of a run that send. `given`: the jobs that they have; `taken`: how many they have had.

    `sources`: whence jobs come, and that they are all there.
    """

    def __init__(
        self, settlement: Settlement, intake: Intake, policy: RetryPolicy, course: Course, spawn: Spawn
    ) -> None:
        self.settlement = settlement
        self.given: set[Job] = set()
        self.taken = 0
        self._intake = intake
        self._policy = policy
        self._course = course
        self._spawn = spawn
        self._sign_ins = SignIns(settlement, policy, spawn, self.wake, course.may_go_on)
        self._spare = settlement.fleet.cap or math.inf  # workers that there may be more
        self._idle: list[asyncio.Future[Job]] = []
        self._news = asyncio.Event()
        self._next_start = Alarm(asyncio.get_running_loop(), self.wake)

    def add(self, job: Job) -> None:
        """One more is to be sent."""
        self.settlement.add(job, self._course.now())
        if self._idle or self._spare:
            self._news.set()

    def wake(self) -> None:
        """Have the dispatcher look at what is due; from any task or callback of the loop."""
        self._news.set()

    def is_done(self) -> bool:
        """Whether nothing is left to do, and nothing more may come."""
        return not self._intake.reading and not self.settlement.open

    def has_room(self) -> bool:
        """Whether one more request may be on the wire."""
        return bool(self._idle or self._spare)

    async def dispatch(self) -> None:
        """Give what is due to whoever is free, whenever something may have become due, until the run is over."""
        while not (self._course.stage >= Stage.OVER or self.is_done()):
            self._news.clear()
            if self._course.stopped:
                self._intake.close()
            self._start_due()
            await self._news.wait()

    def _start_due(self) -> None:
        while self._idle or self._spare:
            now = self._course.now()
            job = self._take(now)
            if job is None:
                self._arm(now)
                return
            # One whose task was cancelled takes no more: then the run is about to end, and this job is interrupted.
            turn = self._idle.pop() if self._idle else None
            if turn is None:
                self._spare -= 1
                self._spawn(self._work, job)
            elif not turn.done():
                turn.set_result(job)

    def _take(self, now: float) -> Job | None:
        course, fleet = self._course, self.settlement.fleet
        if course.paused or course.stopped or (course.host is not None and course.is_abandoned()):
            return None
        job = fleet.take(now)
        if job is not None:
            self.given.add(job)
            self.taken += 1
        while fleet.unsigned:
            self._sign_ins.start(fleet.unsigned.popleft())
        return job

    def _arm(self, now: float) -> None:
        """Look again when something is due: it was not now, so a time that is past must not make a busy loop."""
        course = self._course
        due = math.inf if course.paused or course.stopped else self.settlement.fleet.next_due()
        soon = now + (_LATER if course.is_abandoned() else _SOON)
        self._next_start.set(due if due > soon else soon)

    async def _work(self, job: Job) -> None:
        """Send one request after the other, and give back the places of each; at the end of the run `end` does."""
        while True:
            late = await self._try(job)
            now = self._course.now()
            self.settlement.fleet.leave(job.lane, now, late)
            self.given.discard(job)
            if job.lane.backlog.later:
                self.settlement.look_ahead(job.lane, now)
            next_job = self._take(now)
            if next_job is None:
                next_job = await self._next_job(now)
            elif self._idle or self._spare:
                self._news.set()
            job = next_job

    async def _next_job(self, now: float) -> Job:
        turn: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        self._idle.append(turn)
        if self.is_done():
            self.wake()
        self._arm(now)
        return await turn

    async def _try(self, job: Job) -> float:
        """Send one request and settle what it means; the seconds for which the server may still count it."""
        now = self._course.now()
        if self._course.stopped:
            self.settlement.interrupt([job], now)
            return 0.0
        if job.first_try == math.inf:
            job.first_try = now
        elif self.settlement.expire(job, now, now):
            return 0.0
        remaining = job.first_try + self._policy.total - now
        job.sent += 1
        seconds = self._policy.timeout
        user, call = job.lane.user, job.call
        proof = user.needs_proof() and not isinstance(call, Listing)
        if proof:
            call = groups_page(call.project_id, limit=1)
        reply = await user.send(call, seconds if seconds < remaining else remaining)
        if not reply.sent:
            job.sent -= 1  # no credential could be had for it
        self.settlement.reply(job, reply, self._course.now(), proof=proof)
        # A server may still read as much later what was given up.
        return self._policy.timeout if reply.timed_out and reply.lost else 0.0

    def shut(self) -> None:
        """Take nothing more."""
        self._next_start.set(math.inf)
        self.wake()

    def end(self, now: float) -> None:
        """The tasks are gone: what they had is interrupted."""
        for job in self.given:
            self.settlement.fleet.leave(job.lane, now, self._policy.timeout)
        self.settlement.interrupt(self.given, now)
        self.given.clear()


class Engine:
    """One run, made in the event loop that it runs in. `emit` is called once per target, as soon as it settles.

    `accept`: gets the targets that are read, each with the name of its account, instead of them being sent, where a run
    only lists. `error`: what stopped the run; `completed`: it ended because nothing was left to do.
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
        self._course = Course(self.shut)
        self._workers = Workers(self.settlement, self.intake, policy, self._course, self._spawn)
        self._hand_over = accept
        self._pause_of_sweeps = max(_SHORTEST_SWEEP, policy.total / _SWEEPS)
        self._loop = asyncio.get_running_loop()

    # ---- from start to end

    def open(self) -> None:
        """Take the fleet, as `run` does. Raises `ConfigError` beside another run, whose targets it would take too."""
        if self._course.stage is Stage.MADE:
            self.fleet.open(stopped=self._course.stopped, give_up=self.give_up)
            self._course.advance(Stage.OPEN)

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
                self._spawn(watch, self._course, self._workers)
                await self._guarded(self._workers.dispatch)
                self.completed = self._workers.is_done()
                self._tasks.cancel_scope.cancel()
        finally:
            self._end()

    def stop(self, grace: float = GRACE) -> None:
        """Start nothing new; requests on the wire get `grace` seconds for their answer, the rest is unsettled.

        May be called from anywhere: a task, a callback of the loop, a signal handler, another thread.
        """
        self._course.stop()
        self._loop.call_soon_threadsafe(self._drain, grace)

    def _drain(self, grace: float) -> None:
        now = self._course.now()
        if self._course.stage is Stage.OPEN:
            self.fleet.close()
            self._course.wait_until(now + grace)
            self.settlement.interrupt(self.fleet.drain(), now)
            self._workers.wake()

    def shut(self) -> None:
        """Start nothing more, by no path, and wait for nothing; from any task or callback of the loop."""
        if self._course.is_going():
            self._course.advance(Stage.OVER)
            self.fleet.close()
            self._workers.shut()

    def give_up(self, error: BaseException) -> None:
        """End at once, by this error, unless there is one already."""
        self.error = self.error or error
        self.shut()

    def _end(self) -> None:
        """What is not settled is interrupted, and the fleet is free for another run."""
        self.shut()
        self._course.advance(Stage.ENDED)
        now = self._course.now()
        self._workers.end(now)
        self.settlement.interrupt(self.fleet.drain(), now)
        self.fleet.end(now)

    def attend(self, host: asyncio.Task[Any] | None) -> None:
        """Start nothing while this task, beside which the run goes on, is cancelled, whatever it does until it ends."""
        self._course.attend(host)

    def is_abandoned(self) -> bool:
        """Whether the task beside which the run goes on was cancelled, and has not made it good as a time-out does."""
        return self._course.is_abandoned()

    def pause(self) -> None:
        """Read and send nothing new while whoever takes the outcomes is behind."""
        self._course.pause(paused=True)
        self.intake.pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._course.pause(paused=False)
        self.intake.resume()
        self._workers.wake()

    # ---- tasks, all of one group

    def _spawn(self, work: Callable[[*Ts], Coroutine[Any, Any, None]], *arguments: *Ts) -> None:
        self._tasks.start_soon(self._guarded, work, *arguments)

    async def _guarded(self, work: Callable[[*Ts], Coroutine[Any, Any, None]], *arguments: *Ts) -> None:
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
            await one_by_one(lambda lane: self.settlement.sweep(lane, self._course.now()), self.fleet.lanes())
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
        if self._course.stage is Stage.ENDED:  # the fleet may be another run's by now
            answer.set_result(Reply(Verdict.UNSETTLED, message="not asked for: the run has ended"))
            return answer

        def tell(reply: Reply) -> None:
            if not answer.done():  # whoever asked may have gone
                answer.set_result(reply)

        self._workers.add(Job(page, self.fleet.lane(page.project_id, user), _NO_SLOTS, tell=tell))
        return answer
