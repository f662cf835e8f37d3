"""A plan of a session: what there is, found before anything is deleted, and then exactly that deleted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sdrs_async import Account, ConfigError, Limits, ProjectLevel, Selection, StaticToken, Target, connect
from sdrs_async.simulator import Fault, Simulator
from tests.test_session import account

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")


async def test_a_plan_finds_and_deletes_nothing_and_its_run_lists_nothing() -> None:
    """Counts by account and project, the least time and what bounds it; the deletion is of exactly these groups."""
    async with Simulator(projects=2, groups=3) as sim:
        one = account(sim, limits=Limits(None, 8, "2/s", None, 64))
        async with connect(one) as session, session.plan(Selection(project_level=True)) as plan:
            assert {entry.method for entry in sim.log} == {"GET"}
            assert (plan.groups, plan.levels, plan.projects, plan.duplicates) == (6, 2, 2, 0)
            ids = sorted({project for project, _ in sim.targets})
            assert [tuple(each) for each in plan.by_project()] == [("prod", project, 3, True) for project in ids]
            assert plan.floor().bottleneck == "user rate"
            assert (plan.floor().seconds, plan.floor(lists=True).seconds) == (3.02, 5.02)
            assert repr(plan) == "<Plan of prod: groups=6, levels=2, projects=2, at least 3.02 s (user rate)>"
            assert plan.to_dict()["targets"] == {"groups": 6, "project_level": 2, "duplicates": 0}
            listed = len(sim.log)
            report = await session.clean(plan)
            assert {entry.method for entry in sim.log[listed:]} == {"DELETE"}
        assert (report.targets["planned"], report.targets["done"], sim.remaining) == (8, 8, 0)


async def test_a_plan_of_given_targets_is_checked_and_counted_on_disk() -> None:
    """They are read to their end before anything is sent; a bad one leaves no plan."""
    async with Simulator(projects=2, groups=3) as sim, connect(account(sim)) as session:
        async with session.plan([*sim.targets, sim.targets[0], ProjectLevel(sim.targets[0][0])]) as plan:
            assert not plan.listed
            assert (plan.groups, plan.levels, plan.projects) == (6, 1, 2)
            assert next(plan.targets("prod")[sim.targets[0][0]]) == ProjectLevel(sim.targets[0][0])
            async with session.stream(plan) as run:
                assert len([outcome async for outcome in run]) == 7
        with pytest.raises(ConfigError, match="target number 2"):
            async with session.plan([sim.targets[0], ("p/q", "g")]):
                pytest.fail("there is no plan")


async def test_what_cannot_be_listed_is_known_before_anything_is_deleted() -> None:
    """The project stands in the plan's report, with the reason; the others are in the plan."""
    first = Simulator(projects=2, groups=3).targets[0][0]
    faults = [Fault("status", status=403, route="list_groups", only=first)]
    async with (
        Simulator(projects=2, groups=3, faults=faults) as sim,
        connect(account(sim)) as session,
        session.plan(Selection()) as plan,
    ):
        assert [one.project_id for one in plan.report.discovery.failed] == [first]
        assert (plan.groups, plan.projects, sim.remaining) == (3, 1, 6 * 2)


async def test_a_plan_is_good_inside_its_block_and_for_its_own_accounts() -> None:
    """Afterwards its targets are gone from the disk; and another session's account is not taken for one's own."""
    async with Simulator(projects=1, groups=2) as sim, Simulator(projects=1, groups=2) as there:
        async with connect(account(sim)) as session, connect(account(there)) as other:
            async with session.plan(sim.targets) as plan:
                with pytest.raises(ConfigError, match="account prod is not one of this session"):
                    await other.clean(plan)
            with pytest.raises(ConfigError, match="kept no longer"):
                await session.clean(plan)
        assert sim.log == there.log == []


async def test_nothing_of_a_plan_grows_with_its_targets() -> None:
    """A list of any length is read one by one: what was read is on disk, not in memory."""
    alive: set[int] = set()

    class Counted(Target):
        def __del__(self) -> None:
            alive.discard(id(self))

    most = 0

    def targets() -> Iterator[Target]:
        nonlocal most
        for number in range(70_000):
            target = Counted(f"p{number % 3}", f"g{number}")
            alive.add(id(target))
            most = max(most, len(alive))
            yield target

    async with (
        Simulator(projects=1, groups=1) as sim,
        connect(account(sim)) as session,
        session.plan(targets()) as plan,
    ):
        assert (plan.groups, plan.projects) == (70_000, 3)
    assert most < 70_000


async def test_what_is_shown_of_a_session_and_its_runs() -> None:
    """Names and counts, and no secret; nothing is public that only the session calls."""
    async with Simulator(projects=1, groups=3) as sim:
        session = connect(account(sim))
        assert repr(session) == f"<Session of prod at {sim.url}, concurrency=64>"
        async with session, session.stream(sim.targets) as run:
            assert repr(run) == f"<Run {run.report.run_id}, under way: nothing yet>"
            await anext(run)
            async for _ in run:
                pass
            assert repr(run) == f"<Run {run.report.run_id}, ended: planned=3, done=3>"
        names = {name for name in dir(run) if not name.startswith("_")}
        assert names == {
            *("report", "projects", "left_out", "duplicates", "is_reading"),
            *("stop", "held", "waits", "used_up", "learned", "survey"),
        }
        many = [Account(f"a{number}", "https://sdrs.example", StaticToken("secret")) for number in range(5)]
        assert repr(connect(many)).endswith("a2 at https://sdrs.example and 2 more, concurrency=64>")
        assert "secret" not in repr(connect(many))
