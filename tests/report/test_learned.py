"""The report's part about limits that the server showed."""

from __future__ import annotations

import json

from sdrs_async.limits import Learned, Limits, Rate
from sdrs_async.models import Outcome, Target, Verdict
from sdrs_async.pace.floor import Floor, Scopes
from sdrs_async.report import Ledger, Report
from sdrs_async.report.learned import union

NONE = Limits(project_rate=None, project_concurrency=None, user_rate=None, endpoint_rate=None, concurrency=None)
TOLD = Learned("user", "prod", Rate(200, 300), told=True)
FOUND = Learned("project", "prod", Rate(17), told=False, projects=3)


def _report(
    groups: int, seconds: float, *learned: Learned, limits: Limits | Scopes = NONE, accounts: str = "aa"
) -> Ledger:
    """A run that has cleaned so many groups of two projects, half of them each, in so many seconds.

    `accounts`: those of the two projects, whose ids are the same where they differ.
    """
    now = [0.0]
    report = Ledger(limits, clock=lambda: now[0])
    for number in range(groups):
        account, project = accounts[number % 2], number % 2 if accounts == "aa" else 0
        target = Target(f"p{project}", f"g{number}")
        report.add(Outcome(target, Verdict.DELETED, 204, attempts=1, elapsed=0.5, latency=0.5, account=account))
    now[0] = seconds
    report.add_learned(learned)
    report.add_access(True, False, {})
    return report


def test_what_was_learned_is_in_the_document() -> None:
    """The widest scope first, each rate as the flags take it; what is read back says the same."""
    endpoint = Learned("endpoint", "https://sdrs.example", Rate(100, 1.0, 5), told=False)
    report = _report(1, 1.0, FOUND, TOLD, endpoint)
    expected = [
        {"scope": "endpoint", "account": "https://sdrs.example", "rate": "100/s burst 5", "told": False, "projects": 0},
        {"scope": "user", "account": "prod", "rate": "200/5min", "told": True, "projects": 0},
        {"scope": "project", "account": "prod", "rate": "17/s", "told": False, "projects": 3},
    ]
    assert report.to_dict()["limits"] == {"learned": expected}
    reread = Report.from_dict(json.loads(json.dumps(report.to_dict())))
    assert set(reread.learned) == {FOUND, TOLD, endpoint}
    assert reread.to_dict() == report.to_dict()


def test_merged_reports_know_what_each_has_learned() -> None:
    """The same limit is there once, of as many projects as the run that counted most; another rate is another limit."""
    more = Learned("project", "prod", Rate(17), told=False, projects=5)
    other = Learned("project", "prod", Rate(20), told=False, projects=1)
    both = _report(1, 1.0, FOUND, TOLD).merge(_report(1, 1.0, TOLD, more, other))
    assert both.learned == (TOLD, more, other)
    assert union((FOUND, more), (FOUND,)) == (more,)


def test_a_learned_limit_bounds_the_floor() -> None:
    """It was in force: a run that did what it permits was as fast as it could be."""
    report = _report(21, 10.6, Learned("user", "prod", Rate(2), told=True))
    assert report.to_dict()["speed"] == {"floor_s": 10.5, "efficiency": 0.9906, "bottleneck": "user rate (learned)"}


def test_the_floor_is_not_above_the_time_that_a_run_took() -> None:
    """A limit that came in mid-run was not in force before it: a run that was faster says so."""
    report = _report(21, 8.0, Learned("user", "prod", Rate(1), told=True))
    assert report.to_dict()["speed"] == {"floor_s": 8.0, "efficiency": 1.0, "bottleneck": "user rate (learned)"}
    slow = _report(21, 8.0, Learned("user", "prod", Rate(20), told=True), limits=Limits(user_rate="4/s"))
    assert slow.to_dict()["speed"] == {"floor_s": 5.5, "efficiency": 0.6875, "bottleneck": "user rate"}


def test_several_accounts_have_a_floor_of_their_own_limits() -> None:
    """The slower account sets it, for its own projects alone, though their ids be those of the other."""
    limits = {"a": Limits(user_rate="2/s"), "b": Limits(user_rate="5/s")}
    floor = _report(20, 5.0, limits=Scopes(limits), accounts="ab").floor
    assert (floor.seconds, floor.bottleneck) == (4.5, "user rate")


def test_of_rates_that_differ_between_projects_the_highest_bounds_the_floor() -> None:
    """What some projects found to be their limit the server let another one pass: it is no bound of the run."""
    slow = Learned("project", "prod", Rate(1), told=False, projects=1)
    quick = Learned("project", "prod", Rate(4), told=False, projects=1)
    assert _report(21, 20.0, slow, quick).floor == Floor(2.5, "project rate (learned)")
    told = Learned("project", "prod", Rate(1), told=True, projects=2)
    assert _report(21, 20.0, told, quick).floor == Floor(10.5, "project rate (learned)")


def test_what_was_configured_is_not_named_as_learned() -> None:
    """A 429 that confirms a limit is in the counts; nobody is told to set what is set already."""
    confirmed = Learned("user", "prod", Rate(2), told=True)
    report = _report(21, 10.6, confirmed, TOLD, limits=Limits(user_rate="2/s"))
    report.finish()
    assert report.learned == (TOLD,)
    assert report.floor == Floor(10.5, "user rate")
