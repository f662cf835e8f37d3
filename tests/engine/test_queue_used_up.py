"""A limit of one's own that is used up: told while something waits for it, for how long, and whose it is."""

from __future__ import annotations

import anyio
import pytest

from sdrs_async.engine.engine import Engine, one_by_one
from sdrs_async.limits import Limits, Rate, UsedUp
from sdrs_async.models import Reply, Verdict
from sdrs_async.report import Ledger
from sdrs_async.run import Run
from tests.support.engine_runs import DELETED, Party, Service, fleet, settle, settle_all


def rounded(limits: list[UsedUp]) -> list[UsedUp]:
    """With whole seconds."""
    return [UsedUp(one.scope, one.account, one.rate, one.origin, round(one.seconds), one.projects) for one in limits]


def _used_up(engine: Engine) -> list[UsedUp]:
    now = anyio.current_time()
    return engine.fleet.survey(now).used_up(now)


class Looks:
    """What is used up, at some seconds of a run."""

    def __init__(self, *at: float) -> None:
        self.at = at
        self.seen: list[list[UsedUp]] = []

    async def look(self, engine: Engine) -> None:
        """Beside the run."""
        began = anyio.current_time()
        for at in self.at:
            await anyio.sleep_until(began + at)
            self.seen.append(rounded(_used_up(engine)))


def test_a_window_that_is_used_up_is_told_until_it_opens() -> None:
    """300 of 301 go within a second or two; then the last one waits, and nothing waits after it."""
    looks = Looks(0.01, 5, 29, 45)
    settled = settle(Service(), [*fleet(30, 10), ("p", "g")], Limits(None, None, "300/30s", None), during=looks.look)
    assert settled.verdicts() == {Verdict.DELETED: 301}
    rate = Rate(300, 30)
    waits = [[UsedUp("user", "user", rate, "configured", seconds)] for seconds in (25, 1)]
    assert looks.seen[:3] == [[], *waits]


def test_projects_that_wait_alike_come_once() -> None:
    """Each has a window of its own; those that have no more to do wait for none."""
    looks = Looks(5)
    targets = [*fleet(3, 25), *[("done", f"g{number}") for number in range(20)]]
    settle(Service(), targets, Limits("20/60s", None, None, None), during=looks.look)
    assert looks.seen == [[UsedUp("project", "user", Rate(20, 60), "configured", 55, 3)]]


def test_the_widest_comes_first() -> None:
    """Of an endpoint's limit everybody waits, of a user's only its projects."""
    looks = Looks(5)
    first = Party(Service(), fleet(1, 60), Limits("10/60s", None, None, "50/90s"), endpoint="x")
    second = Party(
        Service(), [(f"q{number}", "g") for number in range(60)], Limits(None, None, "20/80s", None), endpoint="x"
    )
    settle_all({"a": first, "b": second}, during=looks.look)
    assert [(one.scope, one.account) for one in looks.seen[0]] == [("user", "b"), ("project", "a")]


@pytest.mark.parametrize("rate", ["10/s", "20/10s", "200/10s"])
def test_an_even_pace_is_no_standstill(rate: str) -> None:
    """A short window lets one after the other start: there is nothing to tell of the moments between."""
    looks = Looks(*(0.5 * number for number in range(1, 60)))
    settle(Service(), fleet(1, 400), Limits(None, None, rate, None), during=looks.look)
    assert not any(looks.seen)


def test_a_429_is_told_as_one() -> None:
    """While a hold is longer than the window, the server decides: who waits then is told by `waits`."""
    looks = Looks(3)
    refusal = Reply(Verdict.THROTTLED, 429, "APIGW.0308", "slow down", retry_after=120.0, scope="user")
    service = Service(lambda target, nth: refusal if target.server_group_id == "g9" and nth == 1 else DELETED)
    settled = settle(service, fleet(1, 12), Limits(None, None, "10/30s", None), during=looks.look)
    assert settled.verdicts() == {Verdict.DELETED: 12}
    assert looks.seen == [[]]


def test_a_limit_that_was_told_says_so() -> None:
    """A 429 named it, nobody configured it; its windows are kept to without another one."""
    looks = Looks(25)
    refusal = Reply(Verdict.THROTTLED, 429, "APIGW.0308", "slow down", scope="user", told=Rate(10, 20))
    service = Service(lambda target, nth: refusal if target.server_group_id == "g10" and nth == 1 else DELETED)
    settle(service, fleet(1, 40), Limits(None, 4, None, None), during=looks.look)
    assert [(one.scope, one.rate, one.origin) for one in looks.seen[0]] == [("user", Rate(10, 20), "told")]


def test_a_hold_that_nothing_waits_for_is_not_told() -> None:
    """An hour is longer than a target has: it has failed, and the projects that go on wait for nobody."""
    refusal = Reply(Verdict.THROTTLED, 429, "APIGW.0308", "slow down", retry_after=3600.0, scope="project")
    service = Service(lambda target, nth: refusal if target.project_id == "held" else DELETED)
    seen = []

    async def look(engine: Engine) -> None:
        await anyio.sleep(5)
        now = anyio.current_time()
        seen.append(engine.fleet.survey(now).waits(now))

    settled = settle(service, [("held", "g"), *fleet(1, 20)], Limits("1/s", None, None, None), during=look)
    assert settled.verdicts() == {Verdict.DELETED: 20, Verdict.THROTTLED: 1}
    assert seen == [{}]


def test_a_look_at_many_projects_lets_the_loop_go_on() -> None:
    """A hundred thousand take a second of work: everything else must not stand still for it."""
    ticks: list[int] = []

    async def look(engine: Engine) -> None:
        await anyio.sleep(1)
        run = Run(engine, Ledger())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tick)
            await run.survey()
            tasks.cancel_scope.cancel()

    async def tick() -> None:
        while True:
            ticks.append(1)
            await anyio.sleep(0.001)

    settle(Service(), fleet(1000, 1), Limits(None, None, "100/s", None), during=look)
    assert len(ticks) > 10


async def test_what_is_done_one_by_one_stops_with_its_task() -> None:
    """It may take minutes, and a run ends before."""
    done: list[int] = []
    with anyio.move_on_after(0.01):
        await one_by_one(done.append, range(10**6))
    assert 100 <= len(done) < 10**6
