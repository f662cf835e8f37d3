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
from typing import Any, TypeVarTuple

import anyio

from sdrs_async.cloud.calls import groups_page
from sdrs_async.engine.alarm import Alarm
from sdrs_async.engine.intake import Intake, Reader, Source
from sdrs_async.engine.lanes import Job
from sdrs_async.engine.queue import Fleet
from sdrs_async.engine.settlement import Settlement
from sdrs_async.engine.sign_ins import SignIns
from sdrs_async.engine.slices import one_by_one
from sdrs_async.engine.users import User
from sdrs_async.errors import SdrsError
from sdrs_async.limits import RetryPolicy
from sdrs_async.models import Listing, Outcome, ProjectLevel, Reply, Target, Verdict

__all__ = ["GRACE", "Engine"]

Ts = TypeVarTuple("Ts")

GRACE = 3.0
"""Seconds that requests on the wire get for their answer when a run is stopped."""

# How exactly a target's total time is kept while it waits for its turn: to a twentieth of it, or a second.
_SWEEPS, _SHORTEST_SWEEP = 20, 1.0
# Seconds between two looks at whether anything moves, and how many in a row without that are a defect: 30 s in which
# the event loop ran, however long its process was stopped meanwhile.
_LOOK, _LOOKS = 3.0, 10
# Until it is looked again at what should be due already, or at a host that was cancelled.
_SOON, _LATER = 0.001, 0.05


def _stray(cancelled: asyncio.CancelledError, who: str) -> SdrsError:
    """The error for a task that nobody has cancelled: what it awaited was. Raises the cancellation if it is its own."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise cancelled
    stray = SdrsError(f"defect: what {who} waited for was cancelled by somebody else")
    stray.__cause__ = cancelled
    return stray


class _NoSlots:
    """A page of a list is held by who asked for it, one at a time."""

    def release(self) -> None:
        """Nothing was held."""


_NO_SLOTS = _NoSlots()


class Engine:
    """One run, made in the event loop that it runs in. `emit` is called once per target, as soon as it settles.

    `reading`: more targets may come. `accept`: gets the targets that are read, each with the name of its account,
    instead of them being sent, where a run only lists. `error`: what stopped the run; `completed`: it ended because
    nothing was left to do.
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
        self.intake = Intake(self._accept)
        self.error: BaseException | None = None
        self.reading = True
        self.completed = False
        self._sign_ins = SignIns(self.settlement, policy, self._spawn, self._wake, self._may_start)
        self._hand_over = accept
        self._policy = policy
        self._cap = fleet.cap or math.inf
        self._workers = self._taken = 0
        self._idle: list[asyncio.Future[Job]] = []
        self._given: set[Job] = set()
        # Nothing new starts; what is on the wire is not waited for any more; the books are closed.
        self._opened = self._paused = self._stopped = self._over = self._ended = False
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._next_start = Alarm(self._loop, self._wake)
        self._end_of_grace = Alarm(self._loop, self.shut)
        self._reading_scope = anyio.CancelScope()
        self._host: asyncio.Task[Any] | None = None
        self._cancellations = 0

    # ---- from start to end

    def open(self) -> None:
        """Take the fleet, as `run` does. Raises `ConfigError` beside another run, whose targets it would take too."""
        if not self._opened:
            self.fleet.open(stopped=self._stopped, give_up=self.give_up)
            self._opened = True

    async def run(self, readers: Iterable[Reader]) -> None:
        """Settle every target of the readers; returns when all are, or when the run was stopped.

        Whatever goes wrong ends the run and is kept in `error`: an error of a reader as `stop` does, any other one at
        once. From the moment on at which it is cancelled nothing is sent.
        """
        self.open()
        try:
            async with anyio.create_task_group() as self._tasks:
                self._spawn(self._read_all, readers)
                self._spawn(self._sweep)
                self._spawn(self._watch)
                await self._guarded(self._dispatch)
                self._tasks.cancel_scope.cancel()
        finally:
            self._end()

    def stop(self, grace: float = GRACE) -> None:
        """Start nothing new; requests on the wire get `grace` seconds for their answer, the rest is unsettled.

        May be called from anywhere: a task, a callback of the loop, a signal handler, another thread.
        """
        self._stopped = True
        self._loop.call_soon_threadsafe(self._drain, grace)

    def _drain(self, grace: float) -> None:
        now = self._loop.time()
        if self._opened and not self._over:
            self.fleet.closed = True
            self._end_of_grace.set(min(self._end_of_grace.at, now + grace))
            self._leave_waiting(now)
            self._wake()

    def shut(self) -> None:
        """Start nothing more, by no path, and wait for nothing; from any task or callback of the loop."""
        if self._opened and not self._ended:
            self._stopped = self._over = self.fleet.closed = True
            self._next_start.set(math.inf)
            self._end_of_grace.set(math.inf)
            self._wake()

    def give_up(self, error: Exception) -> None:
        """End at once, by this error, unless there is one already."""
        self.error = self.error or error
        self.shut()

    def _end(self) -> None:
        """What is not settled is interrupted, and the fleet is free for another run."""
        self.shut()
        self._ended = True
        now = self._loop.time()
        for job in self._given:
            self.fleet.leave(job.lane, now, self._policy.timeout)
        self.settlement.interrupt(self._given, now)
        self._given.clear()
        self._leave_waiting(now)
        self.fleet.end(now)

    def _leave_waiting(self, now: float) -> None:
        for lane in self.fleet.lanes():
            self.settlement.interrupt(lane.backlog.drain(), now)
            self.fleet.rest(lane)

    def attend(self, host: asyncio.Task[Any] | None) -> None:
        """Start nothing while this task, beside which the run goes on, is cancelled, whatever it does until it ends."""
        self._host = host
        self._cancellations = 0 if host is None else host.cancelling()

    def is_abandoned(self) -> bool:
        """Whether the task beside which the run goes on was cancelled, and has not made it good as a time-out does."""
        return self._host is not None and self._host.cancelling() > self._cancellations

    def pause(self) -> None:
        """Read and send nothing new while whoever takes the outcomes is behind."""
        self._paused = True
        self.intake.pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._paused = False
        self.intake.resume()
        self._wake()

    # ---- tasks, all of one group

    def _spawn(self, work: Callable[[*Ts], Coroutine[Any, Any, None]], *arguments: *Ts) -> None:
        self._tasks.start_soon(self._guarded, work, *arguments)

    async def _guarded(self, work: Callable[[*Ts], Coroutine[Any, Any, None]], *arguments: *Ts) -> None:
        """Let the first error that any task meets be the one of the run, and no task be cancelled unnoticed."""
        try:
            await work(*arguments)
        except asyncio.CancelledError as cancelled:
            self.shut()
            self.error = self.error or _stray(cancelled, "a request")
        except BaseException as error:  # the group of tasks would make a group of it
            self.error = self.error or error
            self.shut()

    def _wake(self) -> None:
        """Have the dispatcher look at what is due; from any task or callback of the loop."""
        self._news.set()

    async def _sweep(self) -> None:
        """Now and then fail those whose time ran out while they waited behind others for a shared limit."""
        while True:
            await anyio.sleep(max(_SHORTEST_SWEEP, self._policy.total / _SWEEPS))
            await one_by_one(lambda lane: self.settlement.sweep(lane, self._loop.time()), self.fleet.lanes())
            self._wake()

    async def _watch(self) -> None:
        """Raise `SdrsError` when for 30 s nothing has moved that could: that is a defect, and no reason to hang."""
        looks, before = 0, (-1, -1)
        while looks < _LOOKS:
            await anyio.sleep(_LOOK)
            now_at = (self._taken, self.settlement.open)
            looks = looks + 1 if now_at == before and self._what_is_stuck() else 0
            before = now_at
        raise SdrsError(
            f"defect: for {_LOOK * _LOOKS:.0f} s {self._what_is_stuck()}, and nothing has moved "
            f"({self.settlement.open:,} not settled, {len(self._given)} on the wire, {self._workers} workers, "
            f"{len(self._idle)} of them idle); please report this"
        )

    def _what_is_stuck(self) -> str | None:
        """What could move, or waits for nothing that will ever come; `None` where all is as it should be."""
        if self._stopped:
            return None if self._end_of_grace.at < math.inf else "a stop has not been carried out"
        if self._paused or self.is_abandoned():
            return None
        if self._is_done():
            return "all targets have been settled"
        lane = self.fleet.startable(self._loop.time()) if self._has_room() else None
        if lane is not None:
            return f"a target of project {lane.project_id} of {lane.user.called} might have been sent"
        signing = any(user.sign_ins.under_way for user in self.fleet.users)
        if self.settlement.open and not (self._given or signing) and self.fleet.earliest() == math.inf:
            return f"{self.settlement.open:,} targets have waited for nothing"
        return None

    # ---- reading

    async def _read_all(self, readers: Iterable[Reader]) -> None:
        try:
            with self._reading_scope:
                async with anyio.create_task_group() as tasks:
                    for reader in readers:
                        tasks.start_soon(self._read, reader)
        finally:
            self.reading = False
            self._wake()

    async def _read(self, reader: Reader) -> None:
        try:
            await reader.read(self.intake)
        except asyncio.CancelledError as cancelled:
            self.error = self.error or _stray(cancelled, "the iterator of the targets")
            self.stop()
        except BaseException as error:  # the caller's own iterator may raise anything; raised when the run ends
            self.error = self.error or error
            self.stop()

    def _accept(self, target: Target | ProjectLevel, source: Source) -> None:
        if self._hand_over is not None:
            source.budget.release()
            self._hand_over(target, source.user.name)
            return
        lane = self.fleet.lane(target.project_id, source.user)
        self._add(Job(target, lane, source.budget))

    def _add(self, job: Job) -> None:
        self.settlement.add(job, self._loop.time())
        if self._idle or self._workers < self._cap:
            self._news.set()

    def ask(self, user: User, page: Listing) -> asyncio.Future[Reply]:
        """The reply to one page of a list, which takes its turn in the lane of its project as a target does.

        Its verdict is `READ`, or what it failed as; `SKIPPED` and `UNSETTLED` where it was not sent.
        """
        answer: asyncio.Future[Reply] = self._loop.create_future()
        if self._ended:  # the fleet may be another run's by now
            answer.set_result(Reply(Verdict.UNSETTLED, message="not asked for: the run has ended"))
            return answer

        def tell(reply: Reply) -> None:
            if not answer.done():  # whoever asked may have gone
                answer.set_result(reply)

        self._add(Job(page, self.fleet.lane(page.project_id, user), _NO_SLOTS, tell=tell))
        return answer

    # ---- sending

    async def _dispatch(self) -> None:
        """Give what is due to whoever is free, whenever something may have become due, until the run is over."""
        while not (self._over or self._is_done()):
            self._news.clear()
            if self._stopped:
                self._reading_scope.cancel()
            self._start_due()
            await self._news.wait()
        self.completed = self._is_done()

    def _start_due(self) -> None:
        while self._has_room():
            now = self._loop.time()
            job = self._take(now)
            if job is None:
                self._arm(now)
                return
            # One whose task was cancelled takes no more: then the run is about to end, and this job is interrupted.
            turn = self._idle.pop() if self._idle else None
            if turn is None:
                self._workers += 1
                self._spawn(self._work, job)
            elif not turn.done():
                turn.set_result(job)

    def _has_room(self) -> bool:
        return bool(self._idle) or self._workers < self._cap

    def _may_start(self) -> bool:
        return not (self._stopped or self.is_abandoned())

    def _take(self, now: float) -> Job | None:
        if self._paused or self._stopped or (self._host is not None and self.is_abandoned()):
            return None
        job = self.fleet.take(now)
        if job is not None:
            self._given.add(job)
            self._taken += 1
        while self.fleet.unsigned:
            self._sign_ins.start(self.fleet.unsigned.popleft())
        return job

    def _arm(self, now: float) -> None:
        """Look again when something is due: it was not now, so a time that is past must not make a busy loop."""
        due = math.inf if self._paused or self._stopped else self.fleet.next_due()
        soon = now + (_LATER if self.is_abandoned() else _SOON)
        self._next_start.set(due if due > soon else soon)

    async def _work(self, job: Job) -> None:
        """Send one request after the other, and give back the places of each; at the end of the run `_end` does."""
        while True:
            late = await self._try(job)
            now = self._loop.time()
            self.fleet.leave(job.lane, now, late)
            self._given.discard(job)
            if job.lane.backlog.later:
                self.settlement.look_ahead(job.lane, now)
            next_job = self._take(now)
            if next_job is None:
                next_job = await self._next_job(now)
            elif self._idle or self._workers < self._cap:
                self._news.set()
            job = next_job

    async def _next_job(self, now: float) -> Job:
        turn: asyncio.Future[Job] = self._loop.create_future()
        self._idle.append(turn)
        if self._is_done():
            self._wake()
        self._arm(now)
        return await turn

    async def _try(self, job: Job) -> float:
        """Send one request and settle what it means; the seconds for which the server may still count it."""
        now = self._loop.time()
        if self._stopped:
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
        self.settlement.reply(job, reply, self._loop.time(), proof=proof)
        # A server may still read as much later what was given up.
        return self._policy.timeout if reply.timed_out and reply.lost else 0.0

    def _is_done(self) -> bool:
        return not self.reading and not self.settlement.open
