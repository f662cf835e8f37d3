"""Whose turn it is, without a loop: a fleet is asked at times that the test names."""

from __future__ import annotations

from sdrs_async.engine.intake import Budget
from sdrs_async.engine.lanes import Job
from sdrs_async.engine.queue import Fleet
from sdrs_async.limits import Limits
from sdrs_async.models import Reply, Target, Verdict
from tests.support.engine_runs import DELETED, user_of

SILENT = Reply(Verdict.UNREACHABLE, timed_out=True)


def fleet(concurrency: int | None, projects: int, groups: int = 3) -> Fleet:
    """A fleet whose projects p0, p1, ... have so many targets each, no rate, and have answered before."""
    made, user = user_of(Limits(None, None, None, None, concurrency))
    for group in range(groups):
        for number in range(projects):
            lane = made.lane(f"p{number}", user)
            lane.record.note(DELETED)
            made.push(Job(Target(lane.project_id, f"g{group}"), lane, Budget(99)), 0.0)
    return made


def take_all(made: Fleet, now: float = 0.0) -> list[Job]:
    """All jobs that may start now."""
    jobs = []
    while (job := made.take(now)) is not None:
        jobs.append(job)
    return jobs


def projects(jobs: list[Job]) -> list[str]:
    """Whose jobs these are, in order."""
    return [job.lane.project_id for job in jobs]


def test_projects_take_turns() -> None:
    """Round robin: each project starts one before any starts its second."""
    assert projects(take_all(fleet(None, 3, 2))) == ["p0", "p1", "p2"] * 2


def test_no_project_holds_more_than_its_share_of_the_slots() -> None:
    """With a cap of 8, four projects have two slots each, and the last one with work has all that it may."""
    made = fleet(8, 4)
    first = take_all(made)
    assert sorted(projects(first)) == ["p0", "p0", "p1", "p1", "p2", "p2", "p3", "p3"]
    for job in first:
        made.leave(job.lane, 1.0)
    second = take_all(made, 1.0)
    assert sorted(projects(second)) == ["p0", "p1", "p2", "p3"]
    for job in second:
        made.leave(job.lane, 2.0)
    for group in range(6):
        made.push(Job(Target("p0", f"later{group}"), made.lane("p0", made.users[0]), Budget(99)), 2.0)
    assert projects(take_all(made, 2.0)) == ["p0"] * 6


def test_projects_that_timed_out_fill_a_quarter_of_the_slots_at_most() -> None:
    """Of eight slots two are for them; the rest is parked, and comes in as those leave."""
    made = fleet(8, 6)
    for number in range(5):
        made.lane(f"p{number}", made.users[0]).record.note(SILENT)
    jobs = take_all(made)
    assert sorted(projects(jobs)) == ["p0", "p1", "p5", "p5"]
    made.leave(made.lane("p0", made.users[0]), 1.0)
    assert projects(take_all(made, 1.0)) == ["p2"]
    made.leave(made.lane("p1", made.users[0]), 1.0)
    assert projects(take_all(made, 1.0)) == ["p3"]


def test_a_parked_project_that_is_answered_comes_back() -> None:
    """An answer to what it still had on the wire shows that it does not hang."""
    made = fleet(4, 3)
    assert projects(take_all(made)) == ["p0", "p1", "p2", "p0"]
    for lane in made.lanes():
        lane.record.note(SILENT)
    made.leave(made.lane("p1", made.users[0]), 1.0)
    assert projects(take_all(made, 1.0)) == ["p1"]  # one of four slots is for those that hang; the next is parked
    parked = made.lane("p2", made.users[0])
    parked.record.note(DELETED)
    made.leave(parked, 2.0)
    assert parked.project_id in projects(take_all(made, 2.0))


def test_a_parked_project_does_not_wait_for_one_that_cannot_start() -> None:
    """The place that one leaves goes to the next, and on to the one after it when that one is held."""
    made = fleet(4, 3)
    for lane in made.lanes():
        lane.record.note(SILENT)
    assert projects(take_all(made)) == ["p0"]
    made.lane("p1", made.users[0]).gate.hold(500.0)
    list(made.lane("p0", made.users[0]).backlog.drain())
    made.leave(made.lane("p0", made.users[0]), 1.0)
    assert projects(take_all(made, 1.0)) == ["p2"]


def test_a_closed_fleet_gives_nothing_out() -> None:
    """After a stop there is nothing to take, and nothing to wait for."""
    made = fleet(None, 1)
    made.closed = True
    assert made.take(0.0) is None
    assert made.next_due() == float("inf")


def test_retries_go_in_the_order_of_their_times() -> None:
    """Whatever order they were laid in, and after some of them were taken out."""
    made = fleet(None, 1, 4)
    lane = made.lane("p0", made.users[0])
    jobs = take_all(made)
    for job, due, first_try in zip(jobs, (9.0, 7.0, 3.0, 5.0), (0.0, 0.0, -100.0, 0.0), strict=True):
        job.first_try = first_try
        made.retry(job, due, 1.0)
        made.leave(lane, 1.0)
    assert lane.backlog.withdraw(lambda job: job.first_try < 0) == [jobs[2]]
    assert take_all(made, 4.0) == []
    expected = [Target("p0", group) for group in ("g3", "g1", "g0")]
    assert [job.call for now in (5.0, 7.0, 9.0) for job in take_all(made, now)] == expected


def test_a_new_target_does_not_wait_for_the_retry_of_another() -> None:
    """A lane that would go on in ten seconds goes on now when it gets something new."""
    made = fleet(None, 1, 1)
    [job] = take_all(made)
    made.retry(job, 10.0, 0.0)
    made.leave(job.lane, 0.0)
    assert take_all(made, 1.0) == []
    made.push(Job(Target("p0", "new"), job.lane, Budget(9)), 1.0)
    assert [job.call for job in take_all(made, 1.0)] == [Target("p0", "new")]
