"""The loop: read targets, send what is due, hand each reply to the settlement.

Knows no HTTP: `send` is handed in. Workers are few (the fleet's cap), and no task stands for a waiting target.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from random import Random, SystemRandom

import anyio
import anyio.abc

from sdrs_async.fleet import Fleet
from sdrs_async.lanes import Job
from sdrs_async.models import Listing, Outcome, ProjectLevel, Reply, RetryPolicy, Target
from sdrs_async.reading import Intake, Reader, Source
from sdrs_async.retry import last_start
from sdrs_async.settlement import Settlement
from sdrs_async.sign_ins import SignIns
from sdrs_async.users import User
from sdrs_async.wire import groups_page

__all__ = ["GRACE", "Engine"]

GRACE = 3.0
"""Seconds that requests on the wire get for their answer when a run is stopped."""

# How exactly a target's total time is kept while it waits for its turn: to a twentieth of it, or a second.
_SWEEPS, _SHORTEST_SWEEP = 20, 1.0


class _NoSlots:
    """A page of a list is held by who asked for it, one at a time."""

    def release(self) -> None:
        """Nothing was held."""


_NO_SLOTS = _NoSlots()


class Engine:
    """One run. `emit` is called once per target, in the event loop, as soon as it settles.

    `reading`: more targets may come. `accept`: gets the targets that are read, each with the name of its account,
    instead of them being sent, where a run only lists.
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
        self._sign_ins = SignIns(self.settlement, policy.timeout, self._signed)
        self.error: Exception | None = None
        self._hand_over = accept
        self._policy = policy
        self._cap = fleet.cap or math.inf
        self._workers = 0
        self._idle: list[asyncio.Future[Job | None]] = []
        self._given: set[Job] = set()
        self.reading = True
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self._scope = anyio.CancelScope()
        self._aside: anyio.abc.TaskGroup | None = None
        self._reading_scope = anyio.CancelScope()

    # ---- from start to end

    async def run(self, readers: Iterable[Reader]) -> None:
        """Settle every target of the readers; returns when all are, or when the run was stopped.

        An error of a reader stops the run as `stop` does, and is kept in `error`. Raises `ConfigError` beside another
        run: each would take the targets of both.
        """
        self._loop = asyncio.get_running_loop()
        self.fleet.open(stopped=self._stopped)
        try:
            # What goes on beside the targets, sweeps and sign-ins, ends with the last of them.
            with self._scope:
                async with anyio.create_task_group() as self._tasks, anyio.create_task_group() as self._aside:
                    self._tasks.start_soon(self._read_all, readers)
                    self._aside.start_soon(self._sweep)
        finally:
            self._close()

    def stop(self, grace: float = GRACE) -> None:
        """Start nothing new; requests on the wire get `grace` seconds for their answer, the rest is unsettled."""
        self.fleet.closed = self._stopped = True
        self._reading_scope.cancel()
        self._end_aside()
        self._scope.deadline = min(self._scope.deadline, anyio.current_time() + grace)
        self._leave_waiting()
        self._finish_if_done()

    def _end_aside(self) -> None:
        if self._aside is not None:
            self._aside.cancel_scope.cancel()

    def pause(self) -> None:
        """Read and send nothing new while whoever takes the outcomes is behind."""
        self._paused = True
        self.intake.pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._paused = False
        self.intake.resume()
        self._kick()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        now = self._loop.time()
        self.settlement.interrupt(self._given, now)
        self._given.clear()
        self._leave_waiting()
        self.fleet.end(now)

    def _leave_waiting(self) -> None:
        for lane in self.fleet.lanes.values():
            self.settlement.interrupt(lane.drain(), anyio.current_time())
            self.fleet.rest(lane)

    async def _sweep(self) -> None:
        """Now and then fail those whose time ran out while they waited behind others for a shared limit."""
        while True:
            await anyio.sleep(max(_SHORTEST_SWEEP, self._policy.total / _SWEEPS))
            self.settlement.sweep(self._loop.time())
            self._finish_if_done()

    # ---- reading

    async def _read_all(self, readers: Iterable[Reader]) -> None:
        try:
            with self._reading_scope:
                async with anyio.create_task_group() as tasks:
                    for reader in readers:
                        tasks.start_soon(self._read, reader)
        finally:
            self.reading = False
            self._finish_if_done()

    async def _read(self, reader: Reader) -> None:
        try:
            await reader.read(self.intake)
        except Exception as error:  # the caller's own iterator may raise anything; kept, and raised when the run ends
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
            self._kick()

    def ask(self, user: User, page: Listing) -> asyncio.Future[Reply]:
        """The reply to one page of a list, which takes its turn in the lane of its project as a target does.

        Its verdict is `READ`, or what it failed as; `SKIPPED` and `UNSETTLED` where it was not sent.
        """
        answer: asyncio.Future[Reply] = self._loop.create_future()

        def tell(reply: Reply) -> None:
            if not answer.done():  # whoever asked may have gone
                answer.set_result(reply)

        self._add(Job(page, self.fleet.lane(page.project_id, user), _NO_SLOTS, tell=tell))
        return answer

    # ---- sending

    def _take(self, now: float) -> Job | None:
        job = None if self._paused else self.fleet.take(now)
        if job is not None:
            self._given.add(job)
        while self.fleet.unsigned and self._aside is not None:
            self._sign_ins.start(self.fleet.unsigned.popleft(), self._aside)
        return job

    def _kick(self) -> None:
        """Give what is due to whoever is free, and come back when the next is due."""
        while self._has_room():
            now = self._loop.time()
            job = self._take(now)
            if job is None:
                self._arm(now)
                return
            if self._idle:
                self._idle.pop().set_result(job)
            else:
                self._workers += 1
                self._tasks.start_soon(self._work, job)

    def _has_room(self) -> bool:
        # A cancelled run has cancelled whom it lets wait; they take no more jobs.
        while self._idle and self._idle[-1].done():
            self._idle.pop()
        return bool(self._idle) or self._workers < self._cap

    def _arm(self, now: float) -> None:
        due = math.inf if self._paused else max(now, self.fleet.next_due())
        if self._timer is not None:
            if self._timer.when() == due:
                return
            self._timer.cancel()
            self._timer = None
        if due < math.inf:
            self._timer = self._loop.call_at(due, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._kick()

    async def _work(self, first: Job) -> None:
        job: Job | None = first
        while job is not None:
            answered = False
            try:
                answered = await self._try(job)
            finally:
                now = self._loop.time()
                self.fleet.leave(job.lane, now, answered)
            self._given.discard(job)
            self.settlement.look_ahead(job.lane, now)
            job = self._take(now)
            if job is None:
                job = await self._next_job(now)
            else:
                self._kick()

    async def _next_job(self, now: float) -> Job | None:
        if self._is_done():
            self._finish_if_done()
            return None
        turn: asyncio.Future[Job | None] = self._loop.create_future()
        self._idle.append(turn)
        self._arm(now)
        return await turn

    async def _try(self, job: Job) -> bool:
        """Send one request and settle what it means; whether it was answered."""
        now = self._loop.time()
        if self.fleet.closed:
            self.settlement.interrupt([job], now)
            return False
        if job.first_try == math.inf:
            job.first_try = now
        elif job.last is not None and now >= job.first_try + last_start(self._policy):
            self.settlement.expire(job, job.last, now)
            return False
        remaining = job.first_try + self._policy.total - now
        job.sent += 1
        seconds = self._policy.timeout
        user, call = job.lane.user, job.call
        proof = user.needs_proof() and not isinstance(call, Listing)
        if proof:
            call = groups_page(call.project_id, limit=1)
        reply = await user.send(call, seconds if seconds < remaining else remaining)
        settle = self.settlement.proof if proof else self.settlement.reply
        settle(job, reply, self._loop.time())
        return reply.status_code is not None

    def _signed(self) -> None:
        self._kick()
        self._finish_if_done()

    def _is_done(self) -> bool:
        return not self.reading and not self.settlement.open

    def _finish_if_done(self) -> None:
        """Send the idle workers home once nothing is read and nothing is open any more."""
        if self._is_done():
            self._end_aside()
            idle, self._idle = self._idle, []
            for turn in idle:
                if not turn.done():
                    turn.set_result(None)
