"""All scopes together, without a loop: random arrivals, cancellations, 429s and limits that change under a run.

The books are the engine's own, fleet and settlement; the gateway is a model of this file, which counts at arrival.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sdrs_async.engine.intake import Budget
from sdrs_async.engine.lanes import Job
from sdrs_async.engine.queue import Fleet
from sdrs_async.engine.settlement import Settlement
from sdrs_async.limits import Limits, Rate, RetryPolicy
from sdrs_async.models import Outcome, Reply, Target, Verdict
from tests.support.engine_runs import DELETED, Service, most_in_window

POLICY = RetryPolicy(attempts=5, timeout=5.0, base=0.5, cap=30.0, total=1e6)
CONFIGURED = Limits("6/s", 3, "9/2s", "12/s burst 8", 6)
SCOPES = ("project", "user", "endpoint")
PROMISED = {"project": Rate(6), "user": Rate(9, 2), "endpoint": Rate(12)}


@dataclass
class Told:
    """A limit that a 429 has named, from then until the gateway's limit changes: when requests sent since then came."""

    rate: Rate
    since: float
    arrivals: list[float] = field(default_factory=list)


class Gateway:
    """Sliding windows, one for each key of each scope that has a limit; refused requests do not count."""

    def __init__(self) -> None:
        self.limits: dict[str, tuple[Rate, bool]] = {}
        self._admitted: dict[str, list[float]] = defaultdict(list)

    def judge(self, keys: dict[str, str], now: float) -> tuple[str, Rate | None] | None:
        """`None` admits and counts it; else the scope that is full, and its limit where it tells that."""
        for scope, (rate, tells) in self.limits.items():
            recent = [at for at in self._admitted[keys[scope]] if at > now - rate.per]
            if len(recent) >= rate.count:
                return scope, rate if tells else None
        for scope in SCOPES:
            self._admitted[keys[scope]].append(now)
        return None


class Scopes(RuleBasedStateMachine):
    """Two accounts at one endpoint, two projects each."""

    @initialize(share=st.floats(0, 1), seed=st.integers(0, 2**32), trip=st.sampled_from([0.001, 0.02]))
    def begin(self, share: float, seed: int, trip: float) -> None:
        """`share`: of a round trip, the part that is the way there."""
        self.now = 0.0
        self.replies: dict[int, Reply] = {}
        self.share = share
        self.trip = trip
        self.lose = 0.0
        self.rng = Random(seed)
        self.fleet = Fleet(CONFIGURED.concurrency)
        send = Service().send
        self.users = [self.fleet.user(name, "x", send, CONFIGURED, weight=n + 1) for n, name in enumerate("ab")]
        self.outcomes: list[Outcome] = []
        self.books = Settlement(self.fleet, POLICY, self.rng, self.outcomes.append)
        self.fleet.open(stopped=False)
        self.gateway = Gateway()
        self.events: list[tuple[float, int, str, Job, float]] = []
        self.arrivals: dict[str, list[float]] = defaultdict(list)
        self.told: dict[str, list[Told]] = defaultdict(list)
        self.added = self.order = 0

    # ---- what happens

    @rule(user=st.integers(0, 1), project=st.integers(0, 1), count=st.sampled_from([1, 5, 40, 200]))
    def arrive(self, user: int, project: int, count: int) -> None:
        """New groups of one project."""
        lane = self.fleet.lane(f"p{user}{project}", self.users[user])
        for _ in range(count):
            self.added += 1
            self.books.add(Job(Target(lane.project_id, f"g{self.added}"), lane, Budget(10**6)), self.now)

    @rule(seconds=st.sampled_from([0.01, 0.3, 1.0, 5.0, 5.0, 40.0]))
    def wait(self, seconds: float) -> None:
        """Time goes on."""
        self.drive(self.now + seconds)

    @rule(user=st.integers(0, 1), project=st.integers(0, 1))
    def cancel(self, user: int, project: int) -> None:
        """What waits of one project is given up."""
        lane = next((one for one in self.fleet.lanes() if one.project_id == f"p{user}{project}"), None)
        if lane is not None:
            self.books.interrupt(lane.backlog.drain(), self.now)
            self.fleet.rest(lane)

    @rule(
        scope=st.sampled_from(SCOPES),
        rate=st.sampled_from([None, Rate(1), Rate(3), Rate(5, 2), Rate(7, 10), Rate(20, 60), Rate(100)]),
        tells=st.booleans(),
    )
    def change(self, scope: str, rate: Rate | None, tells: bool) -> None:
        """The gateway's limit of a scope becomes another one, or is lifted."""
        self.gateway.limits.pop(scope, None)
        if rate is not None:
            self.gateway.limits[scope] = rate, tells
        for key in [key for key in self.told if key.startswith(scope)]:
            del self.told[key]

    @rule(
        scope=st.sampled_from(SCOPES),
        rate=st.sampled_from([Rate(1), Rate(2), Rate(3), Rate(5, 2), Rate(7, 10), Rate(15, 60)]),
        tells=st.booleans(),
        seconds=st.sampled_from([3.0, 30.0, 100.0]),
    )
    def press(self, scope: str, rate: Rate, tells: bool, seconds: float) -> None:
        """All projects have much to do under a limit that is lower than what is configured."""
        self.change(scope, rate, tells)
        for user in (0, 1):
            for project in (0, 1):
                self.arrive(user, project, 60)
        self.drive(self.now + seconds)

    @rule(trip=st.sampled_from([0.001, 0.02, 0.3, 2.0]), lose=st.sampled_from([0.0, 0.0, 0.1]))
    def network(self, trip: float, lose: float) -> None:
        """Round trips become longer or shorter, or requests are given up, which the server reads at any time later."""
        self.trip, self.lose = trip, lose

    # ---- the loop that an engine would be

    def drive(self, until: float) -> None:
        """Start what may start and answer what is due, up to that time."""
        while True:
            while self.fleet.cap is None or self.in_flight() < self.fleet.cap:
                if (job := self.fleet.take(self.now)) is None:
                    break
                self.send(job)
            due = self.fleet.next_due() if self.in_flight() < (self.fleet.cap or 1) else float("inf")
            upcoming = min(max(due, self.now), self.events[0][0] if self.events else float("inf"))
            if upcoming > until:
                self.now = until
                return
            # A timer never fires early, and always a little late.
            self.now = max(self.now, upcoming) + 1e-6
            while self.events and self.events[0][0] <= self.now:
                self.happen(*heappop(self.events)[2:])

    def in_flight(self) -> int:
        """Requests that are not answered yet."""
        return sum(lane.in_flight for lane in self.fleet.lanes())

    def send(self, job: Job) -> None:
        """One request goes out."""
        job.first_try = min(job.first_try, self.now)
        job.sent += 1
        if self.rng.random() < self.lose:
            self.at(self.now + self.rng.uniform(0, 2 * POLICY.timeout), "lost", job, self.now)
            self.at(self.now + POLICY.timeout, "give up", job, self.now)
        else:
            self.at(self.now + self.trip * self.share, "arrive", job, self.now)

    def at(self, when: float, what: str, job: Job, sent: float) -> None:
        """It happens later."""
        self.order += 1
        heappush(self.events, (when, self.order, what, job, sent))

    def happen(self, what: str, job: Job, sent: float) -> None:
        """A request arrives, with or without an answer to come; or what became of it is known."""
        if what == "lost":
            self.judge(job, sent)
            return
        if what == "arrive":
            self.replies[id(job)] = self.judge(job, sent)
            self.at(self.now + self.trip * (1 - self.share), "answer", job, sent)
            return
        given_up = what == "give up"
        reply = Reply(Verdict.UNREACHABLE, timed_out=True, lost=True) if given_up else self.replies.pop(id(job))
        reply.elapsed = self.now - sent
        if reply.told is not None:
            self.told[f"{reply.scope} {self.keys(job)[reply.scope]}"].append(Told(reply.told, self.now))
        self.books.reply(job, reply, self.now)
        self.fleet.leave(job.lane, self.now, POLICY.timeout if given_up else 0.0)
        self.books.look_ahead(job.lane, self.now)

    def keys(self, job: Job) -> dict[str, str]:
        """Whose windows a request counts in."""
        return {"project": job.lane.project_id, "user": job.lane.user.name, "endpoint": "x"}

    def judge(self, job: Job, sent: float) -> Reply:
        """The gateway's answer at arrival."""
        keys = self.keys(job)
        for scope, key in keys.items():
            self.arrivals[f"{scope} {key}"].append(self.now)
            for told in self.told[f"{scope} {key}"]:
                if sent >= told.since:
                    told.arrivals.append(self.now)
        verdict = self.gateway.judge(keys, self.now)
        if verdict is None:
            return Reply(DELETED.verdict, 204)
        scope, told_rate = verdict
        return Reply(Verdict.THROTTLED, 429, scope=scope if told_rate else "project", told=told_rate)

    # ---- what always holds

    @invariant()
    def no_window_is_above_what_is_configured(self) -> None:
        """In any window the gateway sees no more than the configured rate."""
        for key, times in getattr(self, "arrivals", {}).items():
            rate = PROMISED[key.split()[0]]
            assert most_in_window(times, rate.per - 1e-9) <= rate.count
            if key == "endpoint x":
                assert most_in_window(times, 1 - 1e-9) <= 8, "the burst"
            self.forget(times, rate)

    @invariant()
    def no_window_is_above_what_was_told(self) -> None:
        """Of the requests sent since a limit was told, no window holds more than that."""
        for several in getattr(self, "told", {}).values():
            for told in several:
                assert most_in_window(told.arrivals, told.rate.per - 1e-9) <= told.rate.count
                self.forget(told.arrivals, told.rate)

    def forget(self, times: list[float], rate: Rate) -> None:
        """What has been looked at, and is in no window with what is still to come."""
        times[:] = [at for at in times if at > self.now - rate.per]

    @invariant()
    def caps_are_kept(self) -> None:
        """At most three requests of a project at a time, six in all; never fewer than none."""
        if not hasattr(self, "fleet"):
            return
        assert all(0 <= lane.in_flight <= 3 for lane in self.fleet.lanes())
        assert 0 <= self.in_flight() <= 6

    def finish(self) -> None:
        """Once the gateway lifts its limits all that waits is settled: nobody starves."""
        for scope in SCOPES:
            self.change(scope, None, tells=False)
        self.network(0.02, 0.0)
        for _ in range(2000):  # what was told as 15 a minute stays in force
            if not self.books.open:
                break
            self.drive(self.now + 60.0)
        assert not self.books.open
        assert len(self.outcomes) == self.added == len({outcome.target for outcome in self.outcomes})

    def teardown(self) -> None:
        """Every permit comes back."""
        if hasattr(self, "fleet"):
            self.end()

    def end(self) -> None:
        """All is settled, and later every scope has room again."""
        self.finish()
        self.drive(self.now + 2000.0)
        assert self.in_flight() == 0
        assert [user.endpoint.gate.traffic.out for user in self.users] == [0, 0]
        gates = [self.users[0].endpoint.gate, *(user.gate for user in self.users)]
        assert all(gate.due() <= self.now for gate in (*gates, *(lane.gate for lane in self.fleet.lanes())))


TestScopes = Scopes.TestCase
TestScopes.settings = settings(stateful_step_count=30)
