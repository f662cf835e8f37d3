"""A fleet without a run: its turns are taken and given back by hand, on a clock that is moved by hand."""

from __future__ import annotations

from sdrs_async import Limits, Target, Verdict
from sdrs_async.engine.lanes import Job
from sdrs_async.engine.queue import Fleet
from sdrs_async.engine.users import User
from sdrs_async.models import Call, Reply

__all__ = ["DELETED", "LATENCY", "HandClock", "give_back", "one_user", "project", "queue", "target"]

LATENCY = 0.02
DELETED = Reply(Verdict.DELETED, 204, elapsed=LATENCY)


class HandClock:
    """`now`: seconds, which whoever owns it moves."""

    def __init__(self) -> None:
        self.now = 1_000.0


async def never(call: Call, timeout: float) -> Reply:  # noqa: ASYNC109 - the engine's own protocol
    """Nothing is sent."""
    raise NotImplementedError


def project(number: int) -> str:
    """A project's id."""
    return f"{number:032x}"


def target(project_number: int, group_number: int) -> Target:
    """A group of a project."""
    return Target(project(project_number), f"{group_number:08x}-8721-4037-9a1a-45c287000000")


def one_user(limits: Limits) -> tuple[Fleet, User]:
    """A fleet whose projects all belong to one user."""
    fleet = Fleet(limits.concurrency)
    return fleet, fleet.user("user", "endpoint", never, limits)


def queue(fleet: Fleet, user: User, projects: int, each: int, now: float) -> None:
    """So many jobs more for each project, one project after the other."""
    call = target(0, 0)
    for number in range(projects):
        lane = fleet.lane(project(number), user)
        for _ in range(each):
            fleet.push(Job(call, lane, None), now)


def give_back(fleet: Fleet, job: Job, now: float) -> None:
    """What the settlement and the engine tell of a good answer, as far as it concerns whose turn it is."""
    job.lane.note(job, DELETED, now)
    fleet.leave(job.lane, now)
