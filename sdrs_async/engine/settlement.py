"""The books of one run: what comes of each reply is written down as `decide` says.

Sends nothing and waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

from sdrs_async.cloud import events
from sdrs_async.engine.decide import Again, Done, Hold, Stop, decide, is_late, result, shut_out, too_late
from sdrs_async.engine.lanes import Job, Lane
from sdrs_async.engine.queue import Fleet
from sdrs_async.engine.users import User
from sdrs_async.limits import RetryPolicy
from sdrs_async.models import Listing, Outcome, Reply, Verdict

# Seconds: a lane that goes on sooner is not worth a look at all that waits in it.
_SOON = 1.0
_NO_PROOF = frozenset(
    {Verdict.TRANSIENT, Verdict.UNREACHABLE, Verdict.UNAUTHORIZED, Verdict.THROTTLED, Verdict.CONFLICT}
)
_NO_FAILURE = frozenset({Verdict.SKIPPED, Verdict.UNSETTLED, Verdict.DELETED, Verdict.GONE})


class Settlement:
    """The books of one run. `open`: targets and pages not settled yet; `reads`: requests for pages and for proofs of a
    key; `reads_throttled`: those of them that were answered 429.

    `emit` is called once for each target as it settles.
    """

    def __init__(self, fleet: Fleet, policy: RetryPolicy, rng: Random, emit: Callable[[Outcome], None]) -> None:
        self.fleet = fleet
        self.open = 0
        self.reads = self.reads_throttled = 0
        self._policy = policy
        self._rng = rng
        self._emit = emit

    def add(self, job: Job, now: float) -> None:
        """A new target was read."""
        self.open += 1
        lane = job.lane
        if (stopped := lane.user.standing.stopped or lane.record.stopped) is not None:
            self._settle(job, Done(Verdict.SKIPPED, stopped), now)
        elif self.fleet.closed:
            self.interrupt([job], now)
        else:
            self.fleet.push(job, now)
            if len(lane.backlog.ready) == 1 and lane.held_until() > now:
                self._fail_untried(lane, now)

    def reply(self, job: Job, reply: Reply, now: float, *, proof: bool = False) -> None:
        """One request of this job was answered, or given up.

        `proof`: it was a read in place of the job, since it was not known whether its user's key is good. A refusal of
        that, and what another try may mend, stand for the job's own reply; after any other answer the job goes out.
        """
        job.lane.note(job, reply, now)
        if proof and reply.verdict not in _NO_PROOF:
            self._count_reads(job)
            job.forget()
            if job.lane.user.key is not None:
                job.lane.user.key.proven = True  # the requests themselves may go
            self._again(job, now, now)
            return
        what = decide(reply, job, self._policy, now, self._rng)
        if isinstance(what, Hold):
            self._again(job, self._hold(job, reply, what.scope, now), now)
        elif isinstance(what, Again):
            if what.renewed:
                job.renewed = True
                job.lane.access.refused(now, now - reply.elapsed)
            self._again(job, what.due, now)
        else:
            self._settle(job, what, now)

    def fail(self, lane: Lane, reply: Reply, now: float) -> None:
        """All that waits in a lane fails by this reply."""
        for job in lane.backlog.drain():
            self._settle(job, result(reply, job), now)

    def interrupt(self, jobs: Iterable[Job], now: float) -> None:
        """The run ends before these jobs are settled."""
        for job in jobs:
            when = "before it was sent" if not job.sent else "before an answer"
            if job.last is not None:
                when = f"before another try; the last one: {job.last.message or job.last.verdict}"
            self._settle(job, Done(Verdict.UNSETTLED, f"interrupted {when}"), now)

    # ---- too late

    def expire(self, job: Job, start: float, now: float) -> bool:
        """Settle a job that cannot start before `start`, if its time is over by then; whether it is."""
        if late := is_late(job, start, self._policy):
            self._settle(job, too_late(job, now, self._policy), now)
        return late

    def look_ahead(self, lane: Lane, now: float) -> None:
        """Sweep a lane whose window has perhaps just filled up, if it goes on so late that it is worth it."""
        if lane.earliest(now) > now + _SOON:
            self.sweep(lane, now)

    def sweep(self, lane: Lane, now: float) -> None:
        """Fail all that wait and whose time will have run out before they can start, as far as is known by now."""
        if lane.backlog.later:
            start = lane.earliest(now)
            for job in lane.backlog.withdraw(lambda job: is_late(job, start, self._policy)):
                self.expire(job, start, now)
        self._fail_untried(lane, now)
        self.fleet.rest(lane)

    def _fail_untried(self, lane: Lane, now: float) -> None:
        if lane.backlog.ready and (done := shut_out(lane, now, self._policy)) is not None:
            for job in lane.backlog.untried():
                self._settle(job, done, now)
            self.fleet.rest(lane)

    # ---- what was decided

    def _again(self, job: Job, due: float, now: float) -> None:
        lane = job.lane
        if lane.record.stopped is not None:
            self._leave(job, lane.record.stopped, now)
        elif self.fleet.closed:
            self.interrupt([job], now)
        elif not self.expire(job, lane.earliest(due), now):
            self.fleet.retry(job, due, now)

    def _hold(self, job: Job, reply: Reply, scope: str, now: float) -> float:
        """Hold the scope that a 429 names, and return until when; what has less time left than that fails at once."""
        lane, sign_ins = job.lane, job.lane.user.sign_ins
        lane.turn.lost = True
        if scope == "sign-in":
            if sign_ins.refuse(reply, now, self._policy, self._rng):
                events.throttled(f"every sign-in of {lane.user.called}", sign_ins.held_until - now, reply)
            for other in lane.user.lanes.values():
                self._fail_untried(other, now)
            return sign_ins.held_until
        gate, name = lane.refused(reply, now, job.given_at)
        before, known = max(gate.held_until, now), gate.learned
        until = gate.refuse(now, job.given_at, reply.told, reply.retry_after)
        if until > before or gate.learned != known:
            events.throttled(name, until - now, reply, gate.learned)
        if until > max(before, now + _SOON):
            for other in lane.behind(gate):
                self.sweep(other, now)
        return until

    def _stop_with(self, job: Job, what: Stop, now: float) -> None:
        """Nothing more is sent for the project of this job, or for all whose credential was refused with its own."""
        if not what.whole_account:
            self.stop(job.lane, what.reason, now)
            return
        for user in job.lane.user.refused_with():
            user.standing.refuse_with(job.lane.user.standing)
            self.stop(user, what.reason, now)

    def stop(self, who: Lane | User, reason: str, now: float) -> None:
        """Nothing more is sent for a project, or any of a user; what is on the wire counts by its own answer."""
        for job in who.stop(reason):
            self._leave(job, reason, now)
            self.fleet.rest(job.lane)

    def _leave(self, job: Job, reason: str, now: float) -> None:
        """A stopped project's job: it failed by its last reply if it was ever sent, else it is skipped."""
        done = Done(Verdict.SKIPPED, reason) if job.last is None else result(job.last, job)
        self._settle(job, done, now)

    # ---- what became of a target

    def _settle(self, job: Job, what: Stop | Done, now: float) -> None:
        done = what.done if isinstance(what, Stop) else what
        self.open -= 1
        if isinstance(job.call, Listing):
            self._answer(job, done)
        else:
            if job.budget is not None:
                job.budget.release()
            outcome = job.outcome(done.verdict, done.message, done.reply, now)
            if done.verdict not in _NO_FAILURE:
                events.failed(outcome, job.lane.user.called)
            self._emit(outcome)
        if isinstance(what, Stop):
            self._stop_with(job, what, now)

    def _answer(self, job: Job, what: Done) -> None:
        """The reply of a page, to who asked for it."""
        self._count_reads(job)
        reply = job.last or what.reply or Reply(what.verdict)
        if job.answer is not None and not job.answer.done():  # whoever asked may have gone
            job.answer.set_result(replace(reply, verdict=what.verdict, message=what.message))

    def _count_reads(self, job: Job) -> None:
        """What was sent for it is no request of a target."""
        self.reads += job.sent
        self.reads_throttled += job.throttled
