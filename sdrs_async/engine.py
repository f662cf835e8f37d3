"""The loop: read targets, send what is due, hand each reply to the settlement.

Knows no HTTP: `send` is handed in. Workers are few (the fleet's cap), and no task stands for a waiting target.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from random import Random, SystemRandom
from typing import Protocol

import anyio
import anyio.abc

from sdrs_async.lanes import Fleet, Job
from sdrs_async.models import Limits, Outcome, Reply, RetryPolicy, Target
from sdrs_async.reading import Budget, Intake, Source
from sdrs_async.retry import last_start
from sdrs_async.settlement import Settlement

__all__ = ["GRACE", "Engine", "Send"]

GRACE = 3.0
"""Seconds that requests on the wire get for their answer when a run is stopped."""

# How exactly a target's total time is kept while it waits for its turn: to a twentieth of it, or a second.
_SWEEPS, _SHORTEST_SWEEP = 20, 1.0


class Send(Protocol):
    """One request on the wire, one classified reply within `timeout` seconds."""

    async def __call__(self, target: Target, timeout: float) -> Reply:  # noqa: ASYNC109 - the HTTP client enforces it
        """Never raises for what a server or network does: that is data."""
        ...


class Engine:
    """One run. `emit` is called once per target, in the event loop, as soon as it settles."""

    def __init__(
        self,
        send: Send,
        emit: Callable[[Outcome], None],
        limits: Limits,
        policy: RetryPolicy,
        *,
        rng: Random | None = None,
    ) -> None:
        self.fleet = Fleet(limits)
        self.settlement = Settlement(self.fleet, policy, rng or SystemRandom(), emit)
        self.intake = Intake(self._accept)
        self.error: Exception | None = None
        self._send = send
        self._policy = policy
        self._cap = limits.concurrency or math.inf
        self._workers = 0
        self._idle: list[asyncio.Future[Job | None]] = []
        self._given: set[Job] = set()
        self._reading = True
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._scope = anyio.CancelScope()
        self._reading_scope = anyio.CancelScope()
        self._sweeping_scope = anyio.CancelScope()

    # ---- from start to end

    async def run(self, sources: Iterable[Source]) -> None:
        """Settle every target of the sources; returns when all are, or when the run was stopped.

        An error of a source stops the run as `stop` does, and is kept in `error`.
        """
        self._loop = asyncio.get_running_loop()
        try:
            with self._scope:
                async with anyio.create_task_group() as self._tasks:
                    self._tasks.start_soon(self._read_all, sources)
                    self._tasks.start_soon(self._sweep)
        finally:
            self._close()

    def stop(self, grace: float = GRACE) -> None:
        """Start nothing new; requests on the wire get `grace` seconds for their answer, the rest is unsettled."""
        self.fleet.closed = True
        self._reading_scope.cancel()
        self._scope.deadline = min(self._scope.deadline, anyio.current_time() + grace)
        self._leave_waiting()
        self._finish_if_done()

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
        self.settlement.interrupt(self._given, self._loop.time())
        self._given.clear()
        self._leave_waiting()

    def _leave_waiting(self) -> None:
        for lane in self.fleet.lanes.values():
            self.settlement.interrupt(lane.drain(), anyio.current_time())

    async def _sweep(self) -> None:
        """Now and then fail those whose time ran out while they waited behind others for a shared limit."""
        with self._sweeping_scope:
            while True:
                await anyio.sleep(max(_SHORTEST_SWEEP, self._policy.total / _SWEEPS))
                self.settlement.sweep(self._loop.time())
                self._finish_if_done()

    # ---- reading

    async def _read_all(self, sources: Iterable[Source]) -> None:
        try:
            with self._reading_scope:
                async with anyio.create_task_group() as readers:
                    for source in sources:
                        readers.start_soon(self._read, source)
        finally:
            self._reading = False
            self._finish_if_done()

    async def _read(self, source: Source) -> None:
        try:
            await source.read(self.intake)
        except Exception as error:  # the caller's own iterator may raise anything; kept, and raised when the run ends
            self.error = self.error or error
            self.stop()

    def _accept(self, target: Target, budget: Budget) -> None:
        self.settlement.add(Job(target, self.fleet.lane(target.project_id), budget), self._loop.time())
        if self._idle or self._workers < self._cap:
            self._kick()

    # ---- sending

    def _take(self, now: float) -> Job | None:
        job = None if self._paused else self.fleet.take(now)
        if job is not None:
            self._given.add(job)
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
            now = await self._try(job)
            self._given.discard(job)
            self.fleet.leave(job.lane, now)
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

    async def _try(self, job: Job) -> float:
        """Send one request and settle what it means; the time when that was done."""
        now = self._loop.time()
        if self.fleet.closed:
            self.settlement.interrupt([job], now)
            return now
        if not job.sent:
            job.first_try = now
        elif job.last is not None and now >= job.first_try + last_start(self._policy):
            self.settlement.expire(job, job.last, now)
            return now
        remaining = job.first_try + self._policy.total - now
        job.sent += 1
        seconds = self._policy.timeout
        reply = await self._send(job.target, seconds if seconds < remaining else remaining)
        now = self._loop.time()
        self.settlement.reply(job, reply, now)
        return now

    def _is_done(self) -> bool:
        return not self._reading and not self.settlement.open

    def _finish_if_done(self) -> None:
        """Send the idle workers home once nothing is read and nothing is open any more."""
        if self._is_done():
            self._sweeping_scope.cancel()
            idle, self._idle = self._idle, []
            for turn in idle:
                if not turn.done():
                    turn.set_result(None)
