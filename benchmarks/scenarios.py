"""What the laboratory runs: whose limit it is, how it counts, who knows it, how long it goes on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from sdrs_async.laboratory.policies import Policy
from sdrs_async.laboratory.results import Trial
from sdrs_async.laboratory.trial import ENDLESS, Workload
from sdrs_async.laboratory.world import Network
from sdrs_async.limits import Limits

JITTER = Network(jitter=0.1)
STORM = Network(jitter=0.1, lost=0.01, setup=0.2)
SLOTS = 64


@dataclass(frozen=True)
class Scenario:
    """Who runs against which limit for how long. `proof`: the limit is known; `rivals`: others run it too."""

    name: str
    workload: Workload
    policies: tuple[Policy, ...]
    seconds: float = 60.0
    network: Network = field(default_factory=Network)
    proof: bool = False
    rivals: bool = False
    concurrency: int = SLOTS

    def fair(self, trial: Trial) -> float | None:
        """When the last of the small projects was done, by the time that their fair share of the limit takes."""
        sizes = self.workload.projects()
        small = [project for project, groups in sizes.items() if groups is not None and groups < 1000]
        if not small:
            return None
        policy, each = self.policies[0], max(sizes[project] or 0 for project in small)
        return max(trial.finished.get((self.workload.name, project), math.inf) for project in small) / (
            each * len(sizes) * policy.per / policy.count
        )


def one_of(limits: Limits, projects: int = 1) -> Workload:
    """Projects that never run out of work."""
    return Workload(limits, (projects, ENDLESS))


def project(rate: str) -> Limits:
    return Limits(rate, None, None, None, SLOTS)


def user(rate: str | None) -> Limits:
    return Limits("10/s", None, rate, None, SLOTS)


def known() -> Iterator[Scenario]:
    """The user names the limit."""
    for label, network in (("20 ms", Network()), ("jitter", JITTER)):
        for n, seconds in ((1, 120.0), (10, 60.0), (50, 60.0), (200, 30.0), (500, 30.0)):
            yield _known(f"{n}/s, 1 project, {label}", one_of(project(f"{n}/s")), Policy(n), seconds, network)
        long = Policy(200, 300.0)
        yield _known(f"200/5min, 1 project, {label}", one_of(project("200/5min")), long, 2500.0, network)
        for n, seconds in ((1, 120.0), (50, 60.0), (500, 30.0)):
            shared = Policy(n, scope="user")
            yield _known(f"user {n}/s, 500 pr., {label}", one_of(user(f"{n}/s"), 500), shared, seconds, network)
        shared = replace(long, scope="user")
        yield _known(f"user 200/5min, 500, {label}", one_of(user("200/5min"), 500), shared, 2500.0, network)
        yield _known(f"1/s each, 500 pr., {label}", one_of(project("1/s"), 500), Policy(1), 30.0, network)
    tens = one_of(project("50/s"), 10)
    yield replace(_known("50/s each, 10 pr., 20 ms", tens, Policy(50), 20.0, Network()), rivals=True)
    yield replace(_known("50/s each, 10 pr., jitter", tens, Policy(50), 20.0, JITTER), rivals=True)
    for label, network in (("1 % lost", STORM), ("1 % hang", replace(STORM, lost=0.0, hung=0.01))):
        yield replace(_known(f"50/s each, 10 pr., {label}", tens, Policy(50), 60.0, network), proof=False)


def _known(name: str, workload: Workload, policy: Policy, seconds: float, network: Network) -> Scenario:
    """Enough requests at a time for every jitter: what is measured is the pacing alone."""
    return Scenario(f"known {name}", workload, (policy,), seconds, network, proof=True, concurrency=256)


def told() -> Iterator[Scenario]:
    """The first 429 names the limit of the user, which 500 projects share."""
    for text, policy, seconds in (
        ("50/s", Policy(50, scope="user"), 120.0),
        ("200/s", Policy(200, scope="user"), 60.0),
        # 20 groups of each: what is on the wire at the first 429 is refused once, however long the run.
        ("200/5min", Policy(200, 300.0, scope="user"), 15_000.0),
    ):
        name = f"told user {text}, 500 projects"
        yield Scenario(name, one_of(user(None), 500), (policy,), seconds, rivals=text == "200/s")
    for scope in ("address", "api"):
        policy = Policy(100, scope=scope)
        yield Scenario(f"told {scope} 100/s, 100 projects", one_of(user(None), 100), (policy,), 120.0)
    name = "told user 200/5min, 500, defaults"
    yield Scenario(name, one_of(Limits(), 500), (Policy(200, 300.0, scope="user"),), 15_000.0)


def hidden() -> Iterator[Scenario]:
    """The limit is below what the user configured, and no 429 says so."""
    for projects, rate, configured, seconds in ((1, 20, "50/s", 180.0), (100, 4, "10/s", 90.0)):
        for window in ("sliding", "fixed", "counted"):
            for per in (1, 2, 5, 10):
                policy = Policy(rate * per, float(per), told=False)
                policy = replace(policy, **({"count_refused": True} if window == "counted" else {"window": window}))
                name = f"hidden {rate * per}/{per}s {window}, {projects} pr."
                rivals = projects == 1 and window == "sliding" and per in (1, 10)
                yield Scenario(name, one_of(project(configured), projects), (policy,), seconds, rivals=rivals)
            for per in (1, 10) if window == "sliding" else ():
                policy = Policy(rate * per, float(per), told=False)
                name = f"hidden {rate * per}/{per}s jitter, {projects} pr."
                yield Scenario(name, one_of(project(configured), projects), (policy,), seconds, JITTER)
    long = Policy(4, told=False)
    yield Scenario("hidden 4/1s, 100 pr., for 5 min", one_of(project("10/s"), 100), (long,), 300.0)
    for projects in (20, 500):
        shared = Policy(100, scope="user", told=False)
        yield Scenario(f"hidden user 100/s, {projects} projects", one_of(user(None), projects), (shared,), 120.0)


def changing() -> Iterator[Scenario]:
    """The hidden limit is cut to a third, or triples, in mid-run."""
    for projects, rate, configured in ((1, 60, "100/s"), (30, 12, "20/s")):
        for window in ("sliding", "fixed", "counted"):
            how: dict[str, Any] = {"count_refused": True} if window == "counted" else {"window": window}
            for per in (1, 10) if projects == 1 else (1,):
                n = rate * per
                policy = Policy(n, float(per), told=False, changes=((60.0, n // 3), (120.0, n)), **how)
                name = f"cut, triple {n}/{per}s {window}, {projects} pr."
                rivals = projects == 1 and window == "sliding" and per == 1
                yield Scenario(name, one_of(project(configured), projects), (policy,), 180.0, rivals=rivals)
    policy = Policy(20, told=False, changes=((60.0, 60),))
    yield Scenario("triple 20 to 60/s, configured 40/s", one_of(project("40/s")), (policy,), 120.0)


def buckets() -> Iterator[Scenario]:
    """Hidden limits that no window describes."""
    for projects, rate, configured, seconds in ((1, 20, "50/s", 120.0), (100, 4, "10/s", 90.0)):
        for window, capacity in (("bucket", rate), ("bucket", 5 * rate), ("leaky", max(2, rate // 4))):
            policy = Policy(rate, window=window, capacity=capacity, told=False)
            name = f"hidden {rate}/s {window} of {capacity}, {projects} pr."
            rivals = projects == 1 and capacity == rate
            yield Scenario(name, one_of(project(configured), projects), (policy,), seconds, rivals=rivals)


def fairness() -> Iterator[Scenario]:
    """Ten small projects beside a large one, under one rate of the user."""
    groups = {"big": 50_000, **{f"small-{number}": 50 for number in range(10)}}
    shared = (Policy(50, scope="user"),)
    limits = Limits(None, None, "50/s", None, SLOTS)
    yield Scenario("10 x 50 beside 50,000, user 50/s", Workload(limits, groups), shared, 60.0, rivals=True)
    unknown = replace(limits, user_rate=None)
    yield Scenario("the same, told by the first 429", Workload(unknown, groups), shared, 60.0)


def queues() -> list[Scenario]:
    """No limit, but a service that works on few requests at a time: more in flight than that only wait there."""
    limits = Limits(None, None, None, None, SLOTS)
    crowds = ((8, Network(at_once=8)), (8, Network(jitter=0.02, at_once=8)), (100, Network(at_once=100)))
    return [
        Scenario(f"{at_once} at a time{', jitter' * (network.jitter > 0)}", one_of(limits, 10), (), 30.0, network)
        for at_once, network in crowds
    ]


def scenarios() -> list[Scenario]:
    """All rows of the table."""
    return [*known(), *told(), *hidden(), *changing(), *buckets(), *fairness()]
