"""The books of one run: what comes of each reply is written down as `decide` says.

Sends nothing and waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

from sdrs_async.cloud import events
from sdrs_async.engine.decide import (
    Done,
    Hold,
    Stop,
    decide,
    hold_after,
    is_late,
    result,
    shut_out,
    too_late,
)
from sdrs_async.engine.lanes import Job, Lane
from sdrs_async.engine.queue import Fleet
from sdrs_async.engine.users import User
from sdrs_async.limits import RetryPolicy
from sdrs_async.models import Listing, Outcome, Reply, Verdict

__all__ = ["Settlement"]

# Seconds: a lane that goes on sooner is not worth a look at all that waits in it.
_SOON = 1.0
_PASSING = frozenset({Verdict.TRANSIENT, Verdict.UNREACHABLE})
_NO_PROOF = _PASSING | {Verdict.UNAUTHORIZED, Verdict.THROTTLED, Verdict.CONFLICT}
_NOT_SENT = frozenset({Verdict.SKIPPED, Verdict.UNSETTLED})
_NO_FAILURE = _NOT_SENT | {Verdict.DELETED, Verdict.GONE}


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
            if lane.held_until() > now:
                self._fail_untried(lane, now)

    def reply(self, job: Job, reply: Reply, now: float) -> None:
        """One request of this job was answered, or given up."""
        self._note(job, reply, now)
        what = decide(reply, job, self._policy, now, self._rng)
        if isinstance(what, Done):
            self._settle(job, what, now)
        elif isinstance(what, Stop):
            self._stop_with(job, what, now)
        elif isinstance(what, Hold):
            self._again(job, self._hold(job, reply, what.scope, now), now)
        else:
            if what.renewed:
                job.renewed = True
                job.lane.access.refused(now, now - reply.elapsed)
            self._again(job, what.due, now)

    def proof(self, job: Job, reply: Reply, now: float) -> None:
        """A read was sent in place of this job, since it was not known whether its user's key is good.

        A refusal, and what another try may mend, stand for the job's own reply; after any other answer it goes out.
        """
        if reply.verdict in _NO_PROOF:
            self.reply(job, reply, now)
            return
        self._note(job, reply, now)
        self._count_reads(job)
        job.forget()
        if (key := job.lane.user.key) is not None:
            key.passed()
        self._again(job, now, now)

    def sign_in_failed(self, lane: Lane, reply: Reply, now: float) -> None:
        """It was a try of the one whose turn it is. The others wait and fail with it: each alone would ask again."""
        job, before, user = lane.backlog.take(now), self.open, lane.user
        job.first_try = min(job.first_try, now - reply.elapsed)
        self.reply(job, reply, now)
        if reply.verdict not in _PASSING:
            return
        if self.open == before:
            lane.access.put_off(lane.backlog.next_retry())
        for other in lane.backlog.drain() if self.open < before else ():
            self._settle(other, result(reply, other), now)
        # Twice the time of one project's tries: the hundreds behind it would need hours to learn the same.
        patience = 2 * self._policy.attempts * self._policy.timeout
        if user.sign_ins.fail(now, reply.elapsed) >= patience:
            reason = f"not sent: no sign-in of {user.called} went well in {patience:.0f} s ({reply.message})"
            self._stop_user(user, reason, now)

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
            self._finish(job, too_late(job, now, self._policy), now)
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

    def _note(self, job: Job, reply: Reply, now: float) -> None:
        """Write down what a reply tells, whatever becomes of the target."""
        job.last = reply
        if reply.sent:
            job.throttled += reply.verdict is Verdict.THROTTLED
        else:
            job.unsigned += reply.verdict is not Verdict.THROTTLED
        job.lane.note(reply, now, job.given_at)
        if reply.status_code is None:
            job.lost = job.lost or reply.lost
            return
        job.last_answer = reply
        if not isinstance(job.call, Listing):
            endpoint = job.lane.user.endpoint
            endpoint.crowd.add(now, reply.elapsed, endpoint.in_flight)

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
        lane = job.lane
        self.fleet.lose_turn(lane)
        if scope == "sign-in":
            return self._hold_sign_ins(lane.user, reply, now)
        gate, name = lane.refused(reply, now, job.given_at)
        before, known = max(gate.held_until, now), gate.learned
        until = gate.refuse(now, job.given_at, reply.told, reply.retry_after)
        if until > before or gate.learned != known:
            events.throttled(name, until - now, reply, gate.learned)
        if until > max(before, now + _SOON):
            for other in lane.behind(gate):
                self.sweep(other, now)
        return until

    def _hold_sign_ins(self, user: User, reply: Reply, now: float) -> float:
        hold = user.sign_ins.hold
        until = now + hold_after(self._policy, reply, hold.refuse(reply, now), self._rng)
        if until > hold.until:
            events.throttled(f"every sign-in of {user.called}", until - now, reply)
        hold.hold(until)
        for lane in user.lanes.values():
            self._fail_untried(lane, now)
        return hold.until

    def _finish(self, job: Job, what: Stop | Done, now: float) -> None:
        if isinstance(what, Stop):
            self._stop_with(job, what, now)
        else:
            self._settle(job, what, now)

    def _stop_with(self, job: Job, what: Stop, now: float) -> None:
        """The job fails, and nothing more is sent for its project, or for all whose credential was refused with its."""
        self._settle(job, what.done, now)
        if not what.whole_account:
            self._stop(job.lane, what.reason, now)
            return
        standing = job.lane.user.standing
        for user in job.lane.user.refused_with():
            user.standing.refuse_with(standing)
            self._stop_user(user, what.reason, now)

    def _stop_user(self, user: User, reason: str, now: float) -> None:
        """Nothing more is sent for any of its projects; what is on the wire counts by its own answer."""
        if user.standing.stop(reason):
            events.stopped(user.called, reason, sum(len(lane.backlog) for lane in user.lanes.values()))
        for lane in user.lanes.values():
            self._stop(lane, reason, now)

    def _stop(self, lane: Lane, reason: str, now: float) -> None:
        """Nothing more is sent for this project; what is on the wire counts by its own answer."""
        if lane.record.stop(reason) and lane.user.standing.stopped is None:  # else it is said of all of them at once
            events.stopped(f"project {lane.project_id} of {lane.user.called}", reason, len(lane.backlog))
        for job in lane.backlog.drain():
            self._leave(job, lane.record.stopped or reason, now)
        self.fleet.rest(lane)

    def _leave(self, job: Job, reason: str, now: float) -> None:
        """A stopped project's job: it failed by its last reply if it was ever sent, else it is skipped."""
        done = Done(Verdict.SKIPPED, reason) if job.last is None else result(job.last, job)
        self._settle(job, done, now)

    # ---- what became of a target

    def _settle(self, job: Job, what: Done, now: float) -> None:
        verdict, answer = what.verdict, job.last_answer
        final = answer if verdict not in _NOT_SENT else None
        # Of a sign-in that failed there is no answer of the service, but perhaps IAM's word for why.
        code = final or what.reply
        self.open -= 1
        job.slots.release()
        if isinstance(job.call, Listing):
            self._tell(job, what)
            return
        outcome = Outcome(
            job.call,
            verdict,
            final.status_code if final else None,
            code.error_code if code else None,
            what.message,
            answer.request_id if answer else None,
            job.sent,
            now - job.first_try if job.sent else 0.0,
            final.elapsed if final else None,
            job.throttled,
            job.lane.user.name,
        )
        if verdict not in _NO_FAILURE:
            events.failed(outcome, job.lane.user.called)
        self._emit(outcome)

    def _tell(self, job: Job, what: Done) -> None:
        """The reply of a page, to who asked for it."""
        self._count_reads(job)
        if job.tell is not None:
            job.tell(replace(job.last or what.reply or Reply(what.verdict), verdict=what.verdict, message=what.message))

    def _count_reads(self, job: Job) -> None:
        """What was sent for it is no request of a target."""
        self.reads += job.sent
        self.reads_throttled += job.throttled
