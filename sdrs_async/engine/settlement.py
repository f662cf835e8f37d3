"""What a reply means for its target, its project and its scope: another try, a pause, a stop, or the outcome.

Decides and keeps the books; sends nothing and waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

from sdrs_async.cloud import events
from sdrs_async.engine import scopes, standing
from sdrs_async.engine.decide import delay_after, hold_after, last_start
from sdrs_async.engine.lanes import Job, Lane
from sdrs_async.engine.queue import Fleet
from sdrs_async.engine.users import User
from sdrs_async.limits import RetryPolicy
from sdrs_async.models import Listing, Outcome, Reply, Verdict

__all__ = ["Settlement"]

_FORBIDDEN_STOP = 5
# A lane that goes on sooner than in so many seconds is not worth a look at all that waits in it.
_LOOK_AHEAD = 1.0
_LOST = "nothing left to delete: an earlier try got no answer and had probably done the work"
_PASSING = frozenset({Verdict.TRANSIENT, Verdict.UNREACHABLE})
_NO_PROOF = _PASSING | {Verdict.UNAUTHORIZED, Verdict.THROTTLED, Verdict.CONFLICT}
_FINAL = frozenset({Verdict.DELETED, Verdict.READ, Verdict.GONE, Verdict.REJECTED})
# What a project answers that may be read and not cleaned.
_NO_PERMISSION = frozenset({Verdict.FORBIDDEN, Verdict.READ})
_NOT_SENT = frozenset({Verdict.SKIPPED, Verdict.UNSETTLED})
_NO_FAILURE = _NOT_SENT | {Verdict.DELETED, Verdict.GONE}


class Settlement:
    """The books of one run. `open`: targets and pages not settled yet; `reads`: pages asked for, and proofs of a key;
    `reads_throttled`: those of them that were answered 429.

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
        if (stopped := lane.user.stopped or lane.stopped) is not None:
            self._settle(job, now, Verdict.SKIPPED, stopped)
        elif self.fleet.closed:
            self.interrupt([job], now)
        else:
            self.fleet.push(job, now)
            if lane.held_until() > now:
                self._fail_held(lane, now)

    def expire(self, job: Job, reply: Reply, now: float) -> None:
        """The total time of a job that was tried before has run out: its last reply is final."""
        job.renewed = True
        if reply.verdict is Verdict.UNAUTHORIZED:
            self._unauthorized(job, reply, now)
        else:
            self._finish(job, now, reply)

    def reply(self, job: Job, reply: Reply, now: float) -> None:
        """One request of this job was answered, or given up."""
        self._note(job, reply, now)
        if reply.verdict in _FINAL:
            self._finish(job, now, reply)
        elif reply.verdict is Verdict.THROTTLED:
            self._throttled(job, reply, now)
        elif reply.verdict is Verdict.UNAUTHORIZED:
            self._unauthorized(job, reply, now)
        elif (delay := delay_after(self._policy, reply, job.tries, now - job.first_try, self._rng)) is not None:
            self._again(job, now + delay, now)
        else:
            self._finish(job, now, reply)
            self._stop_forbidden(job.lane, reply, now)

    def proof(self, job: Job, reply: Reply, now: float) -> None:
        """A read was sent in place of this job, since it was not known whether its user's key is good.

        A refusal, and what another try may mend, stand for the job's own reply; after any other answer it goes out.
        """
        if reply.verdict in _NO_PROOF:
            self.reply(job, reply, now)
            return
        self._note(job, reply, now)
        self.reads, self.reads_throttled = self.reads + job.sent, self.reads_throttled + job.throttled
        job.forget()
        if job.lane.user.key is not None:
            job.lane.user.key.proven = True
        self._again(job, now, now)

    def sign_in_failed(self, lane: Lane, reply: Reply, now: float) -> None:
        """It was a try of the one whose turn it is. The others wait and fail with it: each alone would ask again."""
        job, before = lane.next_job(now), self.open
        job.first_try = min(job.first_try, now - reply.elapsed)
        job.sent += 1  # taken back when the reply is counted: nothing went out
        self.reply(job, reply, now)
        if reply.verdict not in _PASSING:
            return
        if self.open == before:
            lane.sign_in_at = lane.next_retry()
        for other in lane.drain() if self.open < before else ():
            self._finish(other, now, reply)
        user, patience = lane.user, 2 * self._policy.attempts * self._policy.timeout
        user.silent_since = min(user.silent_since, now - reply.elapsed)
        # Twice the time of one project's tries: the hundreds behind it would need hours to learn the same.
        if not user.has_token and now - user.silent_since >= patience:
            self._stop_user(user, f"no sign-in of {user.called} went well in {patience:.0f} s ({reply.message})", now)

    def look_ahead(self, lane: Lane, now: float) -> None:
        """Fail those at once that would wait past their time because the lane's window has just filled up."""
        if lane.has_retries() and (due := lane.earliest(now)) > now + _LOOK_AHEAD:
            self._fail_overdue(lane, due, now)

    def sweep(self, lane: Lane, now: float) -> None:
        """Fail all that wait and whose time has run out, or will have by the time that the server lets them go on."""
        if lane.has_waiting():
            self._fail_overdue(lane, now, now)
            self._fail_held(lane, now)

    def interrupt(self, jobs: Iterable[Job], now: float) -> None:
        """The run ends before these jobs are settled."""
        for job in jobs:
            when = "before it was sent" if not job.sent else "before an answer"
            if job.last is not None:
                when = f"before another try; the last one: {job.last.message or job.last.verdict}"
            self._settle(job, now, Verdict.UNSETTLED, f"interrupted {when}")

    # ---- what a reply tells

    def _note(self, job: Job, reply: Reply, now: float) -> None:
        """What it tells about the project and the account, whatever becomes of the target."""
        lane = job.lane
        job.last = reply
        if not reply.sent:
            job.sent -= 1
            job.unsigned += reply.verdict is not Verdict.THROTTLED
        if not lane.user.is_known():
            standing.note(lane.user, reply)
        if reply.status_code is None:
            job.lost = job.lost or reply.lost
            if reply.timed_out:
                lane.answered, lane.timed_out = False, True
            return
        job.last_answer = reply
        lane.answered, lane.timed_out = True, False
        lane.accepted = lane.accepted or reply.verdict not in _NO_PERMISSION
        if not reply.sent:
            return
        if not isinstance(job.call, Listing):
            lane.user.endpoint.answered(now, reply.elapsed)
        if reply.verdict is not Verdict.THROTTLED:
            self._admitted(lane, now, job.given_at)

    def _admitted(self, lane: Lane, now: float, sent_at: float) -> None:
        """A request passed all limits."""
        user = lane.user
        if not lane.admitted:
            user.admit(lane)
        for gate in (lane.gate, user.gate, user.endpoint.gate):
            gate.accept(now, sent_at)

    def _throttled(self, job: Job, reply: Reply, now: float) -> None:
        """The scope that a 429 names waits as a whole; targets with less time left than that fail at once."""
        job.throttled += reply.sent
        self.fleet.lose_turn(job.lane)
        if reply.scope == "sign-in":
            self._again(job, self._hold_sign_ins(job.lane.user, reply, now), now)
            return
        gate, name = scopes.refused(job.lane, reply, now, job.given_at)
        before, known = gate.held_until, gate.learned
        until = gate.refuse(now, job.given_at, reply.told, reply.retry_after)
        limit = gate.learned
        if until > max(before, now) or limit != known:
            events.throttled(name, until - now, reply, limit)
        if until > max(before, now + _LOOK_AHEAD):
            for lane in scopes.behind(gate, job.lane):
                self._fail_overdue(lane, until, now)
                self._fail_held(lane, now)
        self._again(job, until, now)

    def _hold_sign_ins(self, user: User, reply: Reply, now: float) -> float:
        hold = user.sign_ins
        hold.refusal = reply
        until = now + hold_after(self._policy, reply, hold.refuse(now), self._rng)
        if until > hold.until:
            events.throttled(f"every sign-in of {user.called}", until - now, reply)
        hold.hold(until)
        for lane in user.lanes.values():
            self._fail_held(lane, now)
        return hold.until

    def _unauthorized(self, job: Job, reply: Reply, now: float) -> None:
        """The credential was refused: another try with a second one, else the project stops, or the whole account."""
        lane = job.lane
        lane.user.refused = reply.message or lane.user.refused or ""
        if reply.retryable and not job.renewed:
            job.renewed = True
            if lane.user.sign_in and lane.signed_at <= now - reply.elapsed:  # not a late answer to the one before
                lane.signed_until = min(lane.signed_until, now)
            self._again(job, now, now)
            return
        self._finish(job, now, reply)
        if standing.is_of_all(lane.user, reply):
            for user in standing.stopped_with(lane.user):
                user.refused = user.refused or lane.user.refused
                self._stop_user(user, f"the credential of {lane.user.called} was refused ({reply.message})", now)
        else:
            self._stop(lane, f"not sent: the credential was refused for this project ({reply.message})", now)

    def _stop_user(self, user: User, reason: str, now: float) -> None:
        """Nothing more is sent for any of its projects; what is on the wire counts by its own answer."""
        if user.stopped is None:
            user.stopped = f"not sent: {reason}"
            waiting = sum(lane.waiting() for lane in user.lanes.values())
            events.stopped(user.called, user.stopped, waiting)
        for lane in user.lanes.values():
            self._stop(lane, user.stopped, now)

    def _stop_forbidden(self, lane: Lane, reply: Reply, now: float) -> None:
        lane.forbidden += reply.verdict is Verdict.FORBIDDEN
        if lane.forbidden >= _FORBIDDEN_STOP and not lane.accepted:
            self._stop(lane, f"not sent: {lane.forbidden} answers of this project were all forbidden", now)

    # ---- what becomes of a target

    def _again(self, job: Job, due: float, now: float) -> None:
        if job.lane.stopped is not None:
            self._left(job, now, job.lane.stopped)
        elif self.fleet.closed:
            self.interrupt([job], now)
        elif job.lane.earliest(due) >= job.first_try + last_start(self._policy):
            self._too_late(job, now)
        else:
            self.fleet.retry(job, due, now)

    def _fail_overdue(self, lane: Lane, until: float, now: float) -> None:
        late = lane.overdue(until, last_start(self._policy))
        for job in late:
            self._too_late(job, now)
        if late:
            self.fleet.rest(lane)

    def _fail_held(self, lane: Lane, now: float) -> None:
        """Fail those that were never tried where the server's word keeps them longer than a target's total time.

        Their time counts from the moment at which that began. The user's own limits are waited for as long as it takes.
        """
        if not lane.ready:
            return
        until, since = lane.held(now)
        if until > now and until >= since + last_start(self._policy):
            hold = lane.user.sign_ins
            of_iam = hold.refusal if lane.signed_until <= now and hold.until >= until else None
            what = "nothing more is let in" if of_iam is None else "IAM lets nobody sign in"
            message = f"throttled, not sent: {what} for {until - now:.0f} s, longer than its time"
            for job in lane.untried():
                job.last = of_iam
                self._settle(job, now, Verdict.THROTTLED, message)
            self.fleet.rest(lane)

    def _too_late(self, job: Job, now: float) -> None:
        """Its turn would come after its time: it fails at once, as throttled where a 429 is what it would wait for."""
        wait = job.lane.held_until() - now
        if now + wait >= job.first_try + last_start(self._policy):
            message = f"throttled: the wait of {wait:.0f} s is longer than the time left for this target"
            self._settle(job, now, Verdict.THROTTLED, message)
        elif job.last is not None:
            self.expire(job, job.last, now)

    def _stop(self, lane: Lane, reason: str, now: float) -> None:
        """Nothing more is sent for this project; what is on the wire counts by its own answer."""
        if lane.stopped is None:
            lane.stopped = reason
            if lane.user.stopped is None:  # else it is said of all of them at once
                events.stopped(f"project {lane.project_id} of {lane.user.called}", reason, lane.waiting())
        for job in lane.drain():
            self._left(job, now, lane.stopped)
        self.fleet.rest(lane)

    def _left(self, job: Job, now: float, reason: str) -> None:
        """A stopped project's job: it failed by its last reply if it was ever sent, else it is skipped."""
        if job.last is not None:
            self._finish(job, now, job.last)
        else:
            self._settle(job, now, Verdict.SKIPPED, reason)

    def _finish(self, job: Job, now: float, reply: Reply) -> None:
        lost = job.lost and reply.verdict is Verdict.GONE
        self._settle(job, now, reply.verdict, _LOST if lost else reply.message)

    def _settle(self, job: Job, now: float, verdict: Verdict, message: str) -> None:
        answer = job.last_answer
        final = answer if verdict not in _NOT_SENT else None
        # Of a sign-in that failed there is no answer of the service, but perhaps IAM's word for why.
        code = final or (job.last if verdict not in _NOT_SENT else None)
        self.open -= 1
        job.slots.release()
        if isinstance(job.call, Listing):
            self._tell(job, verdict, message)
            return
        outcome = Outcome(
            job.call,
            verdict,
            final.status_code if final else None,
            code.error_code if code else None,
            message,
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

    def _tell(self, job: Job, verdict: Verdict, message: str) -> None:
        """The reply of a page, to who asked for it; what was sent for it is no request of a target."""
        self.reads, self.reads_throttled = self.reads + job.sent, self.reads_throttled + job.throttled
        if job.tell is not None:
            job.tell(replace(job.last or Reply(verdict), verdict=verdict, message=message))
