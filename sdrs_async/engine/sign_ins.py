"""Signing in to projects beside the sending of requests: it takes long, and holds no slot of theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio

from sdrs_async.engine.course import Course
from sdrs_async.engine.lanes import Lane
from sdrs_async.engine.settlement import Settlement
from sdrs_async.engine.users import User
from sdrs_async.limits import RetryPolicy
from sdrs_async.models import Reply, Verdict

Spawn = Callable[..., None]
"""Starts a task of a run, from one of its tasks: called with a coroutine function and its arguments."""

_PASSING = frozenset({Verdict.TRANSIENT, Verdict.UNREACHABLE})
# Seconds until it is looked again whether another one may begin.
_LATER = 0.05


class SignIns:
    """The sign-ins of one run. `signed`: called whenever one has ended."""

    def __init__(
        self, settlement: Settlement, policy: RetryPolicy, course: Course, spawn: Spawn, signed: Callable[[], None]
    ) -> None:
        self._settlement = settlement
        self._policy = policy
        self._spawn = spawn
        self._signed = signed
        self._course = course

    def start(self, lane: Lane) -> None:
        """Sign in to the project of a lane that is due, as soon as its user may."""
        user = lane.user
        user.sign_ins.waiting.append(lane)
        if user.sign_ins.begin():
            self._spawn(self._sign_in_all, user)

    async def _sign_in_all(self, user: User) -> None:
        book = user.sign_ins
        try:
            while book.waiting:
                if not self._course.may_go_on():
                    await anyio.sleep(_LATER)
                elif book.held_until > anyio.current_time():
                    await anyio.sleep_until(book.held_until)  # and look again: it may be longer by then
                else:
                    await self._sign_in(book.waiting.popleft())
        finally:
            book.end()

    async def _sign_in(self, lane: Lane) -> None:
        fleet, sign_in = self._settlement.fleet, lane.user.sign_ins.sign_in
        loop = asyncio.get_running_loop()
        try:
            if sign_in is not None and lane.backlog:  # what waited may have been given up meanwhile
                self._note(lane, await sign_in(lane.project_id, self._policy.timeout), loop.time())
        finally:
            fleet.let_go(lane, loop.time())
        self._signed()

    def _note(self, lane: Lane, result: float | Reply, now: float) -> None:
        if not isinstance(result, Reply):
            lane.access.signed(now, result)
            lane.user.sign_ins.succeed()
        elif lane.backlog:
            self._fail(lane, result, now)

    def _fail(self, lane: Lane, reply: Reply, now: float) -> None:
        """It was a try of the job whose turn it is. The others wait and fail with it: each alone would ask again."""
        settlement, user, policy = self._settlement, lane.user, self._policy
        job, before = lane.backlog.take(now), settlement.open
        job.first_try = min(job.first_try, now - reply.elapsed)
        settlement.reply(job, reply, now)
        if reply.verdict not in _PASSING:
            return
        if settlement.open < before:
            settlement.fail(lane, reply, now)
        else:
            lane.access.put_off(lane.backlog.next_retry())
        # Twice the time of one project's tries: the hundreds behind it would need hours to learn the same.
        patience = 2 * policy.attempts * policy.timeout
        if user.sign_ins.fail(now, reply.elapsed) >= patience:
            reason = f"not sent: no sign-in of {user.called} went well in {patience:.0f} s ({reply.message})"
            settlement.stop(user, reason, now)
