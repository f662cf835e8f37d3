"""The loop: read targets, send what is due, decide what each reply means for its target, emit one outcome for each.

Knows no HTTP: `send` is handed in. Workers are few (the fleet's cap), and no task stands for a waiting target.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterable, Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Protocol

import anyio
import anyio.abc
import anyio.lowlevel

from sdrs_async.errors import ConfigError
from sdrs_async.lanes import Fleet, Job, Lane
from sdrs_async.models import Limits, Outcome, Reply, RetryPolicy, Target, Verdict
from sdrs_async.retry import delay_after, hold_after

__all__ = ["Budget", "Engine", "Send", "Source"]

_FORBIDDEN_STOP = 5
_READS_PER_TURN = 1000
_LOST = "nothing left to delete: an earlier try got no answer and had probably done the work"


class Send(Protocol):
    """One request on the wire, one classified reply within `timeout` seconds. Never raises for what a server does."""

    async def __call__(self, target: Target, timeout: float) -> Reply: ...  # noqa: ASYNC109 - aiohttp enforces it


class Budget:
    """How many targets of one source may be held at a time; its reader waits for room."""

    __slots__ = ("_waiter", "held", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.held = 0
        self._waiter: asyncio.Future[None] | None = None

    async def take(self) -> None:
        """Wait until one more target may be held, and count it."""
        while self.held >= self.size:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self.held += 1

    def release(self) -> None:
        """One target is settled."""
        self.held -= 1
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


@dataclass(frozen=True, slots=True)
class Source:
    """Targets to read lazily, at most `budget.size` of them held."""

    targets: Iterable[Target] | AsyncIterable[Target]
    budget: Budget


class Engine:
    """One run. `emit` is called once per target, in the event loop, as soon as it settles."""

    def __init__(
        self,
        send: Send,
        emit: Callable[[Outcome], None],
        limits: Limits,
        retry: RetryPolicy,
        *,
        rng: Random | None = None,
    ) -> None:
        self.fleet = Fleet(limits)
        self.signed_in = False
        self.refused = False
        self.error: ConfigError | None = None
        self._send = send
        self._emit = emit
        self._policy = retry
        self._rng = rng or Random()
        self._cap = limits.concurrency or math.inf
        self._workers = 0
        self._idle: list[asyncio.Future[Job | None]] = []
        self._given: set[Job] = set()
        self._budgets: dict[Job, Budget] = {}
        self._readers = 0
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._scope = anyio.CancelScope()
        self._reading = anyio.CancelScope()

    # ---- from start to end

    async def run(self, sources: Iterable[Source]) -> None:
        """Settle every target of the sources; returns when all are, or when the run was stopped."""
        self._loop = asyncio.get_running_loop()
        try:
            with self._scope:
                async with anyio.create_task_group() as self._tasks:
                    self._readers = 1
                    self._tasks.start_soon(self._read_all, sources)
        finally:
            self._close()

    def stop(self, grace: float = 0.0) -> None:
        """Start nothing new; requests on the wire get `grace` seconds for their answer, the rest is unsettled."""
        self.fleet.closed = True
        self._reading.cancel()
        self._scope.deadline = min(self._scope.deadline, anyio.current_time() + grace)
        self._leave_waiting()
        self._finish_if_done()

    def pause(self, paused: bool) -> None:
        """Hold back new requests while whoever takes the outcomes is behind."""
        self._paused = paused
        if not paused:
            self._kick()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for job in list(self._given):
            self._settle(job, Verdict.UNSETTLED, "interrupted before an answer")
        self._leave_waiting()

    def _leave_waiting(self) -> None:
        for lane in self.fleet.lanes.values():
            for job in lane.drain():
                self._settle(job, Verdict.UNSETTLED, "interrupted before it was sent")

    # ---- reading

    async def _read_all(self, sources: Iterable[Source]) -> None:
        try:
            with self._reading:
                async with anyio.create_task_group() as readers:
                    for source in sources:
                        readers.start_soon(self._read, source)
        finally:
            self._readers = 0
            self._finish_if_done()

    async def _read(self, source: Source) -> None:
        try:
            if isinstance(source.targets, AsyncIterable):
                async for target in source.targets:
                    await self._hold(target, source.budget)
                return
            for number, target in enumerate(source.targets, 1):
                await self._hold(target, source.budget)
                if number % _READS_PER_TURN == 0:
                    await anyio.lowlevel.checkpoint()
        except ConfigError as error:
            self.error = self.error or error
            self.stop(grace=3.0)

    async def _hold(self, target: Target, budget: Budget) -> None:
        await budget.take()
        lane = self.fleet.lane(target.project_id)
        job = Job(target, lane)
        self._budgets[job] = budget
        if lane.stopped is not None:
            self._settle(job, Verdict.SKIPPED, lane.stopped)
            return
        self.fleet.push(job, self._loop.time())
        if self._idle or self._workers < self._cap:
            self._kick()

    # ---- sending

    def _take(self) -> Job | None:
        if self._paused:
            return None
        job = self.fleet.take(self._loop.time())
        if job is not None:
            self._given.add(job)
        return job

    def _kick(self) -> None:
        """Give what is due to whoever is free, and come back when the next is due."""
        while self._idle or self._workers < self._cap:
            job = self._take()
            if job is None:
                self._arm()
                return
            if self._idle:
                self._idle.pop().set_result(job)
            else:
                self._workers += 1
                self._tasks.start_soon(self._work, job)

    def _arm(self) -> None:
        due = math.inf if self._paused else self.fleet.next_due(self._loop.time())
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
            await self._try(job)
            job = self._take()
            self._kick()
            if job is None:
                job = await self._next_job()

    async def _next_job(self) -> Job | None:
        if not self._readers and not self._budgets:
            return None
        turn: asyncio.Future[Job | None] = self._loop.create_future()
        self._idle.append(turn)
        return await turn

    async def _try(self, job: Job) -> None:
        now = self._loop.time()
        if not job.sent:
            job.first_try = now
        remaining = job.first_try + self._policy.total - now
        if remaining <= 0:
            self.fleet.leave(job.lane, now, None)
            self._finish(job)
            return
        job.sent += 1
        reply = await self._send(job.target, min(self._policy.timeout, remaining))
        now = self._loop.time()
        answered = reply.status_code is not None
        self.fleet.leave(job.lane, now, reply.elapsed if answered else None)
        self._note(job, reply)
        self._decide(job, reply, now)

    # ---- deciding

    def _note(self, job: Job, reply: Reply) -> None:
        """What a reply tells about its lane and its account, whatever becomes of the target."""
        lane = job.lane
        job.last = reply
        if reply.status_code is None:
            job.lost = True
            lane.timed_out = lane.timed_out or reply.timed_out
            return
        job.last_answer = reply
        lane.timed_out = False
        if reply.verdict in _SIGNED_IN:
            self.signed_in = True
            lane.gate.refusals = self.fleet.user.refusals = self.fleet.endpoint.refusals = 0
            lane.accepted = lane.accepted or reply.verdict is not Verdict.FORBIDDEN

    def _decide(self, job: Job, reply: Reply, now: float) -> None:
        if self.fleet.closed and reply.verdict in _AGAIN:
            self._settle(job, Verdict.UNSETTLED, f"interrupted before another try; the last said: {reply.message}")
        elif reply.verdict is Verdict.THROTTLED:
            self._throttled(job, reply, now)
        elif reply.verdict is Verdict.UNAUTHORIZED:
            self._unauthorized(job, reply, now)
        elif (delay := delay_after(self._policy, reply, job.tries, now - job.first_try, self._rng)) is not None:
            self._again(job, now + delay, now)
        else:
            self._finish(job)
            self._stop_forbidden(job.lane, reply)

    def _throttled(self, job: Job, reply: Reply, now: float) -> None:
        """The scope that a 429 names waits as a whole; targets with less time left than that fail at once."""
        job.throttled += 1
        gates = {"user": self.fleet.user, "endpoint": self.fleet.endpoint}
        gate = gates.get(reply.scope, job.lane.gate)
        gate.refusals += 1
        until = now + hold_after(self._policy, reply, gate.refusals, self._rng)
        gate.hold(until)
        lanes = [job.lane] if gate is job.lane.gate else self.fleet.lanes.values()
        late = [other for lane in lanes for other in lane.overdue(until, self._policy.total)]
        if job.first_try + self._policy.total < until:
            late.append(job)
        else:
            self._again(job, until, now)
        for other in late:
            message = f"throttled: the wait of {until - now:.0f} s is longer than the time left for this target"
            self._settle(other, Verdict.THROTTLED, message)

    def _unauthorized(self, job: Job, reply: Reply, now: float) -> None:
        self.refused = True
        if reply.retryable and not job.renewed:
            job.renewed = True
            self._again(job, now, now)
            return
        self._finish(job)
        self._stop_lane(job.lane, f"not sent: the credential was refused for this project ({reply.message})")

    def _stop_forbidden(self, lane: Lane, reply: Reply) -> None:
        lane.forbidden += reply.verdict is Verdict.FORBIDDEN
        if lane.forbidden >= _FORBIDDEN_STOP and not lane.accepted:
            self._stop_lane(lane, f"not sent: {lane.forbidden} answers of this project were all forbidden")

    def _stop_lane(self, lane: Lane, reason: str) -> None:
        lane.stopped = lane.stopped or reason
        for job in lane.drain():
            self._settle(job, Verdict.SKIPPED, lane.stopped)

    # ---- settling

    def _again(self, job: Job, due: float, now: float) -> None:
        self._given.discard(job)
        if job.lane.stopped is not None:
            self._settle(job, Verdict.SKIPPED, job.lane.stopped)
        elif self.fleet.closed:
            self._settle(job, Verdict.UNSETTLED, "interrupted before another try")
        else:
            self.fleet.retry(job, due, now)

    def _finish(self, job: Job) -> None:
        """Settle a target by its last reply."""
        reply = job.last
        assert reply is not None
        message = reply.message
        if reply.verdict is Verdict.GONE and job.lost:
            message = _LOST
        self._settle(job, reply.verdict, message)

    def _settle(self, job: Job, verdict: Verdict, message: str) -> None:
        answer = job.last_answer
        final = verdict not in (Verdict.SKIPPED, Verdict.UNSETTLED) and answer is not None
        self._given.discard(job)
        self._emit(
            Outcome(
                target=job.target,
                verdict=verdict,
                status_code=answer.status_code if final and answer else None,
                error_code=answer.error_code if final and answer else None,
                message=message,
                request_id=answer.request_id if answer else None,
                attempts=job.sent,
                elapsed=self._loop.time() - job.first_try if job.sent else 0.0,
                latency=answer.elapsed if final and answer else None,
                throttled=job.throttled,
            )
        )
        self._budgets.pop(job).release()
        if not self._budgets:
            self._finish_if_done()

    def _finish_if_done(self) -> None:
        if self._readers or self._budgets:
            return
        idle, self._idle = self._idle, []
        for turn in idle:
            if not turn.done():
                turn.set_result(None)


_SIGNED_IN = frozenset({Verdict.DELETED, Verdict.GONE, Verdict.REJECTED, Verdict.FORBIDDEN, Verdict.CONFLICT})
_AGAIN = frozenset({Verdict.THROTTLED, Verdict.CONFLICT, Verdict.TRANSIENT, Verdict.UNREACHABLE})
