"""A session: several runs over the same accounts, one at a time, whatever ended the one before."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from sdrs_async import Account, ConfigError, Limits, ListingError, Request, RetryPolicy, Selection, StaticToken, connect
from sdrs_async.report import Report
from sdrs_async.session import Session
from sdrs_async.simulator import Fault, Simulator
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

FREE = Limits(None, 8, None, None, 64)


def account(sim: Simulator, name: str = "prod", **how: Any) -> Account:
    """The simulator's account, with a token that is good everywhere."""
    how = {"auth": StaticToken(sim.token), "iam_endpoint": sim.url, "limits": FREE, **how}
    return Account(name, sim.url, **how)


def busy(session: Session) -> list[str]:
    """What is left of a run that has ended; there should be nothing."""
    fleet = session._fleet
    left = [lane.project_id for lane in fleet.lanes() if lane.has_work() or lane.turn.active or lane.in_flight]
    left += [user.name for user in fleet.users if user.sign_ins.under_way or user.sign_ins.waiting]
    return left + [user.name for user in fleet.users if user.endpoint.gate.traffic.out]


class SlowSignIn:
    """Signs in for ever where `hangs`; counts its sign-ins, and signs with a good token."""

    def __init__(self, token: str) -> None:
        self.hangs = True
        self.begun = 0
        self._headers = {"X-Auth-Token": token}

    async def prepare(self, project_id: str) -> float:
        """Sign in."""
        self.begun += 1
        if self.hangs:
            await asyncio.Event().wait()
        return 3600.0

    async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
        """The token."""
        return self._headers

    def invalidate(self, project_id: str, headers: Mapping[str, str]) -> bool:
        """There is no other."""
        return False


@pytest.mark.parametrize("ending", ["cancel", "stop", "leave"])
async def test_a_session_goes_on_after_a_run_that_was_ended(ending: str) -> None:
    """Whatever ended a run with requests on the wire: nothing is left of it, and the next one has all its slots."""
    limits = Limits("50/s", 4, "100/s", "100/s", 16)
    first = [group for _, group in Simulator(projects=4, groups=10).targets[::10]]
    async with Simulator(projects=4, groups=10, faults=[Fault("hang", only=first, times=1)]) as sim:
        one = account(sim, limits=limits)
        async with connect(one, concurrency=16, retry=RetryPolicy(timeout=5)) as session:
            if ending == "cancel":
                task = asyncio.create_task(session.clean(sim.targets))
                await until(lambda: len(sim.log) == 4)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                async with session.stream(sim.targets) as run:
                    await until(lambda: len(sim.log) == 4)
                    if ending == "stop":
                        run.stop(grace=0)
                        await until(run._ended.is_set)
            assert busy(session) == []
            assert session._fleet._line.active == 0
            report = await session.clean(sim.targets[1:] + sim.targets[:1])
        assert report.targets["done"] + report.targets["gone"] == 40
        assert sim.remaining == 0


@pytest.mark.parametrize("ending", ["cancel", "stop"])
async def test_a_session_signs_in_again_after_a_run_that_hung_in_it(ending: str) -> None:
    """A run that was ended while it signed in leaves no sign-in, and no project that waits for one."""
    async with Simulator(projects=9, groups=2) as sim:
        auth = SlowSignIn(sim.token)
        async with connect(account(sim, auth=auth)) as session:
            async with session.stream(sim.targets) as run:
                await until(lambda: auth.begun == 4)
                if ending == "stop":
                    run.stop(grace=60)
                    await until(run._ended.is_set)
            assert sim.log == []
            assert busy(session) == []
            auth.hangs = False
            report = await session.clean(sim.targets)
        assert auth.begun == 4 + 9
    assert report.targets["done"] == 18


async def test_one_run_at_a_time() -> None:
    """A second run beside another is refused, and harms neither the first nor a later one."""
    async with Simulator(projects=2, groups=5) as sim, connect(account(sim)) as session:
        async with session.stream(sim.targets) as run:
            await anext(run)
            with pytest.raises(ConfigError, match="one run at a time"):
                await session.clean(sim.targets)
            outcomes = [outcome async for outcome in run]
        report = await session.clean(sim.targets)
    assert len(outcomes) == 9
    assert report.targets["done"] == 10


@pytest.mark.parametrize("kind", ["clean", "stream", "find"])
async def test_a_session_that_is_left_ends_the_run_of_another_task(kind: str) -> None:
    """It ends with an error that says so, with the report of what was done; nothing is sent after that."""
    async with Simulator(projects=2, groups=400, latency=0.05) as sim:
        one = account(sim)
        session = connect(one)

        async def use() -> None:
            if kind == "clean":
                await session.clean(sim.targets)
            elif kind == "stream":
                async with session.stream(sim.targets) as run:
                    async for _ in run:
                        pass
            else:
                async with session.find(Selection(projects=None)) as found:
                    async for _ in found:
                        pass

        async with session:
            other = asyncio.create_task(use())
            await until(lambda: len(sim.log) > 2 or (kind == "find" and sim.log))
        with pytest.raises(ConfigError, match="the session was left while a run of it was under way") as left:
            await other
        assert isinstance(left.value.report, Report)
        assert left.value.report.interrupted
        arrived = len(sim.log)
        await asyncio.sleep(0.1)
        assert len(sim.log) == arrived
        assert not busy(session)
        async with session:  # and it can be entered again
            assert (await session.clean(sim.targets)).targets["planned"] == 800


async def test_lists_are_read_one_by_one() -> None:
    """Projects, groups and failed tasks of an account, and nothing is deleted; reading after the end is an error."""
    async with Simulator(projects=2, groups=3, failed_tasks=2) as sim:
        one = account(sim)
        async with connect(one) as session:
            async with session.lists() as lists:
                projects = [project async for project in lists.projects(one)]
                groups = [group async for group in lists.groups(one, projects[0].id)]
                inner = [task async for task in lists.failed_tasks(one, projects[0].id, groups[0].id)]
                outer = [task async for task in lists.failed_tasks(one, projects[0].id)]
            assert [len(found) for found in (projects, groups, inner, outer)] == [2, 3, 2, 2]
            assert not {task.job_id for task in inner} & {task.job_id for task in outer}
            assert {entry.method for entry in sim.log} == {"GET"}
            with pytest.raises(ListingError):
                await anext(lists.projects(one))
            assert (await session.clean(sim.targets)).targets["done"] == 6


async def test_a_list_that_was_left_in_the_middle_harms_no_later_run() -> None:
    """A reader that left while a page was on the wire has no part in the books of the next run."""
    async with Simulator(projects=1, groups=1100, failed_tasks=0) as sim:
        one = account(sim)
        async with connect(one) as session:
            async with session.lists() as lists:
                found = lists.groups(one, sim.targets[0][0])
                await anext(found)
            await found.aclose()
            assert busy(session) == []
            report = await session.clean(Selection())
    assert report.targets["done"] == 1100
    assert report.reads == 4


@pytest.mark.parametrize("accounts", [[], ["a", "a"]])
def test_accounts_need_names_of_their_own(accounts: list[str]) -> None:
    """No account, or two of one name, are refused before anything is opened."""
    made = [Account(name, "https://sdrs.example", StaticToken("t")) for name in accounts]
    with pytest.raises(ConfigError, match="name of its own"):
        connect(made)
    with pytest.raises(ConfigError, match="read_ahead"):
        connect(Account("a", "https://sdrs.example", StaticToken("t")), read_ahead=0)


@pytest.mark.parametrize("weight", [0, 101, 1.5, True])
def test_a_weight_is_a_number_of_turns(weight: Any) -> None:
    """None would starve the account's projects, a thousand the others'."""
    with pytest.raises(ConfigError, match="weight of account a must be a whole number from 1 to 100"):
        Account("a", "https://sdrs.example", StaticToken("t"), weight=weight)


async def test_the_projects_of_a_heavier_account_have_more_of_what_is_shared() -> None:
    """Of an endpoint's rate an account of weight 3 has three quarters beside one of weight 1."""
    async with Simulator(projects=2, groups=60, endpoint_rate="60/s") as sim:
        one, two = (
            [target for target in sim.targets if target[0] == id_] for id_ in sorted({t[0] for t in sim.targets})
        )
        limits = Limits(None, 8, None, "60/s", None)
        accounts = [
            Account(name, sim.url, StaticToken(sim.token), limits=limits, weight=weight)
            for name, weight in (("heavy", 3), ("light", 1))
        ]
        async with connect(accounts) as session:
            report = await session.clean({accounts[0]: one, accounts[1]: two})
        first = [entry.project_id for entry in sim.log][:60]
    assert report.targets["done"] == 120
    assert 42 <= first.count(one[0][0]) <= 48


async def test_targets_of_several_accounts_name_their_account() -> None:
    """With several accounts plain targets, and those of a stranger, are refused."""
    async with Simulator(projects=1, groups=1) as sim:
        a, b, stranger = account(sim, "a"), account(sim, "b"), account(sim, "c")
        async with connect([a, b]) as session:
            with pytest.raises(ConfigError, match="each Account"):
                await session.clean(sim.targets)
            with pytest.raises(ConfigError, match="account c is not one"):
                await session.clean({a: sim.targets, stranger: sim.targets})
            assert sim.log == []
            assert (await session.clean({a: sim.targets})).targets["done"] == 1


@pytest.mark.parametrize("order", [1, -1])
async def test_the_lowest_rate_that_is_named_for_an_endpoint_holds_for_all_its_accounts(order: int) -> None:
    """Two accounts at one endpoint name different rates for it: it is one limit, whoever stands first."""
    async with Simulator(projects=2, groups=8) as sim:
        (first, second) = dict.fromkeys(project for project, _ in sim.targets)
        accounts = [
            Account(name, sim.url, StaticToken(sim.token), limits=Limits(None, 8, None, rate, None))
            for name, rate in (("slow", "5/s"), ("fast", "100/s"))
        ][::order]
        async with connect(accounts) as session:
            report = await session.clean(dict(zip(accounts, (Selection([first]), Selection([second])), strict=True)))
        assert report.targets["done"] == 16
        arrivals = sorted(entry.at for entry in sim.log)
    assert all(later - earlier >= 1.0 for earlier, later in zip(arrivals, arrivals[5:], strict=False))


async def test_an_account_of_another_session_is_not_taken_for_ones_own() -> None:
    """Not even by the same name: its groups would be deleted at the other one's endpoint."""
    async with Simulator(projects=1, groups=2) as here, Simulator(projects=1, groups=2) as there:
        own, other = (Account("main", cloud.url, StaticToken(cloud.token)) for cloud in (here, there))
        async with connect(own) as session:
            with pytest.raises(ConfigError, match="account main is not one of this session"):
                await session.clean({other: there.targets})
            async with session.lists() as lists:
                with pytest.raises(ConfigError, match="account main is not one of this session"):
                    lists.groups(other, there.targets[0][0])
    assert not here.log
    assert not there.log


async def test_a_list_that_outlives_its_context_takes_nothing_from_a_later_run() -> None:
    """It says that its run has ended; the later run settles all of its own."""
    async with Simulator(projects=2, groups=5) as cloud:
        account = Account("a", cloud.url, StaticToken(cloud.token))
        async with connect(account) as session:
            async with session.lists() as lists:
                late = lists.groups(account, cloud.targets[0][0])
            async with session.stream(cloud.targets) as run:
                with pytest.raises(ListingError, match="the run has ended"):
                    await anext(late)
                outcomes = [outcome async for outcome in run]
    assert len(outcomes) == run.report.targets["done"] == 10
