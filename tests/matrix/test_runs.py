"""Whole runs against a server: what came of them, and what the server saw."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio
import pytest

from sdrs_async import (
    Account,
    ConfigError,
    Limits,
    Report,
    Request,
    RetryPolicy,
    Selection,
    StaticToken,
    clean,
    connect,
    stream,
)
from sdrs_async.simulator import Fault, Simulator
from tests.matrix.loops import LOOP, on_the_loop
from tests.support.waiting import until

FREE = Limits(None, None, None, None, 64)


async def clean_all(cloud: Simulator, limits: Limits | None = None, **how: Any) -> Report:
    """Clean all that the cloud has; all of it has to be gone then."""
    report = await clean(cloud.targets, endpoint=cloud.url, auth=StaticToken(cloud.token), limits=limits, **how)
    assert (report.targets["done"], report.targets["planned"], cloud.remaining) == (*[len(cloud.targets)] * 2, 0)
    return report


def account(cloud: Simulator, **how: Any) -> Account:
    """The account of a cloud."""
    return Account("prod", cloud.url, **{"auth": StaticToken(cloud.token), "iam_endpoint": cloud.url, **how})


@on_the_loop
async def test_a_paced_run_ends_and_keeps_its_rate() -> None:
    """Windows arm timers, whose callbacks are in no task: each target is sent once, and no window is overrun."""
    async with Simulator(projects=4, groups=30, latency=0.02) as cloud:
        report = await clean_all(cloud, Limits(project_rate="25/0.5s"))
        assert len(cloud.log) == 120
        assert cloud.most_in_window(0.5) <= 25
    assert report.to_dict()["requests"]["sent"] == 120


@on_the_loop
async def test_a_slow_service_at_the_default_rate() -> None:
    """All workers wait for an answer when the timer of the next start is due: it starts one more of them."""
    async with Simulator(projects=1, groups=9, latency=0.3) as cloud:
        await clean_all(cloud)
        assert cloud.most_in_window(1.0) <= 10


@on_the_loop
async def test_a_run_without_limits_ends() -> None:
    """Nothing is paced: only the slots decide."""
    async with Simulator(projects=3, groups=40, latency=0.01) as cloud:
        await clean_all(cloud, FREE)
        assert len(cloud.log) == 120


@on_the_loop
async def test_what_is_refused_for_its_rate_waits_and_goes_on() -> None:
    """A 429 holds its scope; when the hold is over a timer, and no task, wakes the run."""
    async with Simulator(projects=1, groups=16, user_rate="12/s") as cloud:
        report = await clean_all(cloud, FREE)
        refused = sum(entry.status == 429 for entry in cloud.log)
    assert report.to_dict()["requests"]["throttled"] == refused > 0


@on_the_loop
async def test_what_failed_is_tried_again_after_its_wait() -> None:
    """Half of the targets get a 503 at first; the server sees each of those twice, and no other."""
    async with Simulator(projects=2, groups=20, faults=[Fault("status", 0.5, status=503, times=1)]) as cloud:
        await clean_all(cloud, FREE, retry=RetryPolicy(base=0.05, cap=0.2))
        tries = Counter(entry.server_group_id for entry in cloud.log)
        failed = {entry.server_group_id for entry in cloud.log if entry.status == 503}
    assert failed == {group for group, count in tries.items() if count > 1}
    assert 0 < len(failed) < 40


@on_the_loop
async def test_a_try_that_is_not_answered_ends_at_its_time() -> None:
    """Deadlines are timers too: a request that hangs is given up and sent again."""
    async with Simulator(projects=1, groups=6, faults=[Fault("hang", 1.0, times=1)]) as cloud:
        report = await clean_all(cloud, FREE, retry=RetryPolicy(timeout=1.0, base=0.05))
        assert len(cloud.log) == 12
    assert report.to_dict()["requests"]["retries"] == 6


@on_the_loop
async def test_a_slow_consumer_gets_every_outcome() -> None:
    """A consumer that is far behind pauses the run, and lets it go on when it has caught up."""
    async with Simulator(projects=8, groups=160, failed_tasks=1) as cloud:
        async with stream(cloud.targets, endpoint=cloud.url, auth=StaticToken(cloud.token), limits=FREE) as run:
            await until(lambda: len(run._buffer) >= 1024)
            outcomes = [outcome async for outcome in run]
        assert Counter(outcome.verdict for outcome in outcomes) == {"deleted": 1280}
        assert cloud.remaining == 0


@on_the_loop
async def test_targets_that_come_slowly_are_all_sent() -> None:
    """Between two targets of an async generator the run is idle, and nothing but the next one wakes it."""

    async def slowly() -> AsyncIterator[tuple[str, str]]:
        for number, target in enumerate(cloud.targets):
            await asyncio.sleep(0.05 if number % 8 == 0 else 0)
            yield target

    async with Simulator(projects=2, groups=20, latency=0.01) as cloud:
        report = await clean(slowly(), endpoint=cloud.url, auth=StaticToken(cloud.token), limits=Limits("40/s"))
        assert (report.targets["done"], cloud.remaining) == (40, 0)


@on_the_loop
async def test_what_is_found_is_deleted() -> None:
    """Projects and groups are listed and deleted in one run, lists and deletions at one rate."""
    async with (
        Simulator(projects=3, groups=6, latency=0.01) as cloud,
        connect(account(cloud, limits=Limits("10/0.5s"))) as session,
    ):
        async with session.find(Selection()) as finding:
            found = [target async for target in finding]
        assert {entry.method for entry in cloud.log} == {"GET"}
        report = await session.clean(Selection(project_level=True))
        assert cloud.remaining == 0
        assert cloud.most_in_window(0.5) <= 10
    assert {(target.project_id, target.server_group_id) for target in found} == set(cloud.targets)
    assert (report.targets["done"], report.to_dict()["discovery"]["projects"]) == (21, 3)


@on_the_loop
async def test_lists_are_read_one_by_one() -> None:
    """Projects, groups and failed tasks by themselves; nothing is deleted."""
    async with Simulator(projects=2, groups=3, failed_tasks=2) as cloud, connect(account(cloud)) as session:
        async with session.lists() as lists:
            projects = [project async for project in lists.projects(session.accounts[0])]
            groups = [group async for group in lists.groups(session.accounts[0], projects[0].id)]
            tasks = [task async for task in lists.failed_tasks(session.accounts[0], projects[0].id, groups[0].id)]
        assert [len(found) for found in (projects, groups, tasks)] == [2, 3, 2]
        assert {entry.method for entry in cloud.log} == {"GET"}


class SigningIn:
    """Signs in to each project, good for `seconds` at a time; the token is one that is good everywhere."""

    def __init__(self, token: str, seconds: float) -> None:
        self.begun: Counter[str] = Counter()
        self._headers = {"X-Auth-Token": token}
        self._seconds = seconds

    async def prepare(self, project_id: str) -> float:
        """Take a moment."""
        self.begun[project_id] += 1
        await asyncio.sleep(0.05)
        return self._seconds

    async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
        """The token."""
        return self._headers

    def invalidate(self, project_id: str, headers: Mapping[str, str]) -> bool:
        """There is no other."""
        return False


@on_the_loop
async def test_each_project_is_signed_in_to_and_again_in_time() -> None:
    """A credential with `prepare` signs in beside the run, and again when its time is over: by a timer as well."""
    async with Simulator(projects=6, groups=12, latency=0.01) as cloud:
        auth = SigningIn(cloud.token, 1.0)  # no sign-in is taken to be good for less
        report = await clean(cloud.targets, endpoint=cloud.url, auth=auth, limits=Limits("10/s"))
        assert (report.targets["done"], cloud.remaining) == (72, 0)
    assert len(auth.begun) == 6
    assert min(auth.begun.values()) >= 2


@on_the_loop
async def test_a_session_carries_several_runs() -> None:
    """One after the other, within one limit: what a run left of a window the next one does not have."""
    async with Simulator(projects=2, groups=18, latency=0.01) as cloud:
        async with connect(account(cloud, limits=Limits("15/0.5s"))) as session:
            halves = [await session.clean(cloud.targets[part::2]) for part in (0, 1)]
        assert [half.targets["done"] for half in halves] == [18, 18]
        assert cloud.remaining == 0
        assert cloud.most_in_window(0.5) <= 15


@pytest.mark.timeout(20)
def test_a_run_under_anyio_ends() -> None:
    """The host may have started its loop with `anyio.run`."""

    async def main() -> None:
        async with Simulator(projects=2, groups=10, latency=0.02) as cloud:
            await clean_all(cloud, Limits("20/s"))

    anyio.run(main, backend="asyncio", backend_options={"use_uvloop": LOOP == "uvloop"})


def test_trio_is_refused_in_one_sentence() -> None:
    """Under trio every way in says that the library runs on asyncio; the targets are not read."""
    trio: Any = pytest.importorskip("trio")
    prod = Account("prod", "https://sdrs.example", StaticToken("t"))
    how = {"endpoint": prod.endpoint, "auth": prod.auth}

    async def by_clean() -> None:
        await clean(never_read(), **how)  # type: ignore[arg-type]  # both are of the account

    async def by_stream() -> None:
        async with stream(never_read(), **how) as run:  # type: ignore[arg-type]  # as above
            await anext(run)

    async def by_session() -> None:
        async with connect(prod) as session:
            await session.clean(never_read())

    for way in (by_clean, by_stream, by_session):
        with pytest.raises(ConfigError, match=r"runs on asyncio.*under trio"):
            trio.run(way)


async def never_read() -> AsyncIterator[tuple[str, str]]:
    """Targets that nobody may ask for."""
    yield pytest.fail("the targets were read")
