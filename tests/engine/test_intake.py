import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

from sdrs_async.engine.intake import DUPLICATE_WINDOW, Budget, Intake, Targets, sources
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Limits
from sdrs_async.models import ProjectLevel, Target
from tests.support.engine_runs import user_of

USER = user_of(Limits())[1]


def _never(error: BaseException) -> None:
    raise AssertionError("what a source raises is raised where it is read") from error


async def read(targets: Targets, read_ahead: int = 10**9) -> tuple[list[Target | ProjectLevel], Intake]:
    """All targets of the sources, one source after the other."""
    accepted: list[Target | ProjectLevel] = []
    intake = Intake(lambda target, source: accepted.append(target), _never)
    for source in sources(targets, read_ahead, USER):
        await source.read(intake)
    return accepted, intake


async def _later(items: list[Any]) -> AsyncIterator[Any]:
    for item in items:
        await anyio.lowlevel.checkpoint()
        yield item


TWO = [Target("p1", "g1"), Target("p2", "g2")]


@pytest.mark.parametrize(
    "targets",
    [
        TWO,
        tuple(TWO),
        iter(TWO),
        (target for target in TWO),
        [("p1", "g1"), ("p2", "g2")],
        {"p1": ["g1"], "p2": iter(["g2"])},
        {"p1": {"g1"}, "p2": {"g2": "a mapping of groups is its keys"}},
    ],
)
async def test_targets_come_in_every_shape(targets: Targets) -> None:
    """Iterables of targets or pairs, and mappings of project to group ids, mean the same."""
    assert (await read(targets))[0] == TWO


async def test_async_iterables_are_read_too() -> None:
    """An async generator of targets, and one of group ids per project."""
    assert (await read(_later(list(TWO))))[0] == TWO
    assert (await read({"p1": _later(["g1"]), "p2": _later(["g2"])}))[0] == TWO


@pytest.mark.parametrize("targets", ["p/g", b"p/g", None, 7, {"p": "g1"}, {"p": None}])
async def test_what_cannot_be_targets_is_refused(targets: Any) -> None:
    """A string is no list of targets, however iterable it is."""
    with pytest.raises(ConfigError, match="targets must be an iterable"):
        await read(targets)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("p/g", r"pair \(project_id, server_group_id\), not 'p/g'"),
        (("p", "g", "x"), "pair"),
        (["p", "g"], "pair"),
        (None, "pair"),
        (("p", ""), "server_group_id '' is refused"),
        (("", "g"), "project_id '' is refused"),
        (("p", "failure-jobs"), "server_group_id 'failure-jobs' is refused"),
        (("p", 7), "server_group_id 7 is refused"),
        (Target("p/../q", "g"), "project_id 'p/../q' is refused"),
    ],
)
async def test_a_bad_item_is_named_with_its_number(item: object, message: str) -> None:
    """The error says which item it was and what is wrong with it."""
    with pytest.raises(ConfigError, match=rf"^target number 2: .*{message}"):
        await read([("p", "g"), item])


async def test_a_bad_group_of_a_mapping_is_named_with_its_project() -> None:
    """In a mapping the number counts within the project."""
    with pytest.raises(ConfigError, match=r"^target number 1 of project p2: server_group_id 'batch' is refused"):
        await read({"p1": ["g1"], "p2": ["batch"]})


async def test_duplicates_are_dropped_and_counted() -> None:
    """A target that comes again within the last 65,536 is read once, whatever its shape."""
    accepted, intake = await read([("p", "g"), Target("p", "g"), ("p", "h"), ("p", "g")])
    assert accepted == [Target("p", "g"), Target("p", "h")]
    assert intake.duplicates == 2


async def test_duplicates_are_remembered_for_a_window_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory is bounded: after so many other targets one is taken for new again; a shorter window shows it too."""
    assert DUPLICATE_WINDOW == 65_536
    monkeypatch.setattr("sdrs_async.engine.intake.DUPLICATE_WINDOW", 500)

    def targets(others: int) -> Iterator[tuple[str, str]]:
        yield "p", "g"
        yield from (("p", f"g{number}") for number in range(others))
        yield "p", "g"

    assert (await read(targets(499)))[1].duplicates == 1
    assert (await read(targets(500)))[1].duplicates == 0


async def test_a_full_budget_makes_its_reader_wait() -> None:
    """A reader goes on as soon as one of the targets that it holds is settled."""
    accepted: list[Target | ProjectLevel] = []
    intake = Intake(lambda target, source: accepted.append(target), _never)
    budget: Budget | None = None
    async with anyio.create_task_group() as tasks:
        for source in sources([("p", f"g{number}") for number in range(5)], 2, USER):
            budget = source.budget
            tasks.start_soon(source.read, intake)
        for held in (2, 3, 4, 5, 5):
            await anyio.wait_all_tasks_blocked()
            assert len(accepted) == held
            assert budget is not None
            budget.release()


async def test_an_async_generator_is_closed_when_its_reader_is_cancelled() -> None:
    """Files and connections that a source holds are given back, whatever ends the run."""
    closed = asyncio.Event()

    async def targets() -> AsyncIterator[tuple[str, str]]:
        try:
            yield "p", "g1"
            yield "p", "g2"
        finally:
            closed.set()

    with anyio.move_on_after(0.01):
        await read(targets(), read_ahead=1)
    assert closed.is_set()


def test_a_budget_holds_at_least_one() -> None:
    """Nothing could be read with less."""
    with pytest.raises(ConfigError, match="read_ahead must be a whole number of at least 1, not 0"):
        sources([], 0, USER)


def test_the_projects_of_a_mapping_share_what_is_read_ahead() -> None:
    """One project may be read far ahead, many of them less each, and never more than `read_ahead`."""
    assert [source.budget.size for source in sources({"p": []}, 10_000, USER)] == [10_000]
    assert {source.budget.size for source in sources({f"p{n}": [] for n in range(500)}, 10_000, USER)} == {128}
    assert {source.budget.size for source in sources({f"p{n}": [] for n in range(500)}, 10, USER)} == {10}
