"""The loop: give what is due to whoever is free, send it, hand each reply to the settlement.

Knows no HTTP: `send` is handed in. Workers are few (the fleet's cap), and no task stands for a waiting target. Only
the dispatcher and the workers, which are tasks, take jobs and start tasks; timers, readers and whoever stops the run
only wake the dispatcher.
"""

from __future__ import annotations

import asyncio
import math

import anyio

from sdrs_async.cloud.calls import groups_page
from sdrs_async.engine.course import Alarm, Course, Stage
from sdrs_async.engine.intake import Intake
from sdrs_async.engine.lanes import Job
from sdrs_async.engine.settlement import Settlement
from sdrs_async.engine.sign_ins import SignIns, Spawn
from sdrs_async.errors import SdrsError
from sdrs_async.limits import RetryPolicy
from sdrs_async.models import Listing

# Until it is looked again at what should be due already, or at a host that was cancelled.
_SOON, _LATER = 0.001, 0.05
# Seconds between two looks at whether anything moves, and how many in a row without that are a defect: 30 s in which
# the event loop ran, however long its process was stopped meanwhile.
_LOOK, _LOOKS = 3.0, 10


class Workers:
    """The tasks of a run that send, and the one that gives them what to send. `given`: the jobs that they have now;
    `started`: how many they have had.
    """

    def __init__(
        self, settlement: Settlement, intake: Intake, policy: RetryPolicy, course: Course, spawn: Spawn
    ) -> None:
        self.settlement = settlement
        self.given: set[Job] = set()
        self.started = 0
        self._intake = intake
        self._policy = policy
        self._course = course
        self._spawn = spawn
        self._sign_ins = SignIns(settlement, policy, course, spawn, self.wake)
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
        if self._intake.paused or course.stopped or (course.host is not None and course.is_abandoned()):
            return None
        job = fleet.take(now)
        if job is not None:
            self.given.add(job)
            self.started += 1
        while fleet.unsigned:
            self._sign_ins.start(fleet.unsigned.popleft())
        return job

    def _arm(self, now: float) -> None:
        """Look again when something is due: it was not now, so a time that is past must not make a busy loop."""
        course = self._course
        due = math.inf if self._intake.paused or course.stopped else self.settlement.fleet.next_due()
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
        proof = user.key is not None and not user.key.proven and not isinstance(call, Listing)
        if proof:  # a read has to show that the key is good before anything else is sent
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

    # ---- the watchdog

    async def watch(self) -> None:
        """Raise `SdrsError` when for 30 s nothing has moved that could: that is a defect, and no reason to hang."""
        looks, before = 0, (-1, -1)
        while looks < _LOOKS:
            await anyio.sleep(_LOOK)
            now_at = (self.started, self.settlement.open)
            looks = looks + 1 if now_at == before and self._what_is_stuck() else 0
            before = now_at
        raise SdrsError(
            f"defect: for {_LOOK * _LOOKS:.0f} s {self._what_is_stuck()}, and nothing has moved "
            f"({self.settlement.open:,} not settled, {len(self.given)} on the wire); please report this"
        )

    def _what_is_stuck(self) -> str | None:
        """What could move, or waits for nothing that will ever come; `None` where all is as it should be."""
        course, fleet, still_open = self._course, self.settlement.fleet, self.settlement.open
        if course.stopped:
            return None if course.grace.at < math.inf else "a stop has not been carried out"
        if self._intake.paused or course.is_abandoned():
            return None
        if self.is_done():
            return "all targets have been settled"
        due, lane = fleet.earliest()
        if lane is not None and due <= course.now() and (self._idle or self._spare):
            return f"a target of project {lane.project_id} of {lane.user.called} might have been sent"
        signing = any(user.sign_ins.under_way for user in fleet.users)
        if still_open and due == math.inf and not (self.given or signing):
            return f"{still_open:,} targets have waited for nothing"
        return None
