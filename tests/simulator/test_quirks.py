"""Lists that are not as they should be: what a client may meet and must survive."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrs_async.simulator import Simulator
from sdrs_async.simulator.paging import Paging
from sdrs_async.simulator.routes import Call
from sdrs_async.simulator.sdrs import Sdrs
from sdrs_async.simulator.state import Fleet
from tests.simulator.test_server import Caller, running

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

KINDS = {"server-groups": ("server_groups", "id"), "task-center/failure-jobs": ("failure_jobs", "job_id")}


async def pages(caller: Caller, kind: str, limit: int) -> tuple[list[list[str]], set[int]]:
    """The ids of each page until an empty one or the fifth, by an offset of what was received; and all counts."""
    items, name = KINDS[kind]
    seen: list[list[str]] = []
    counts = set()
    while len(seen) < 5 and (not seen or seen[-1]):
        query = {"limit": str(limit), "offset": str(sum(map(len, seen)))}
        _, body = await caller.call("GET", f"/v1/{caller.sim.targets[0][0]}/{kind}", params=query)
        seen.append([item[name] for item in body[items]])
        counts.add(body["count"])
    return seen, counts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("quirk", "count"), [("wrong-count", 1_000_000), ("zero-count", 0)])
async def test_a_count_can_be_wrong(kind: str, quirk: str, count: int) -> None:
    """On every page, whose items are as without it."""
    async with running(projects=1, groups=7, failed_tasks=7) as caller:
        right, _ = await pages(caller, kind, 3)
    async with running(projects=1, groups=7, failed_tasks=7, quirks=[quirk]) as caller:
        assert await pages(caller, kind, 3) == (right, {count})
        assert [len(page) for page in right] == [3, 3, 1, 0]


@pytest.mark.parametrize("kind", KINDS)
async def test_pages_can_repeat_what_was_before(kind: str) -> None:
    """Each but the first begins with the last items of the one before; nothing is missing."""
    async with running(projects=1, groups=30, failed_tasks=30, quirks=["repeats"]) as caller:
        seen, _ = await pages(caller, kind, 12)
        assert [len(page) for page in seen] == [12, 12, 12, 0]
        assert [page[:3] for page in seen[1:3]] == [page[-3:] for page in seen[:2]]
        assert len({item for page in seen for item in page}) == 30


@given(st.integers(0, 90), st.integers(1, 20), st.booleans())
def test_repeated_pages_end_and_are_complete(size: int, limit: int, known: bool) -> None:
    """Whether a client goes on by what it has received or by what was new to it; each page but the last has new ids."""
    paging, seen, offset = Paging(["repeats"]), set[int](), 0
    while True:
        window = paging.window({"limit": str(limit), "offset": str(offset)})
        assert isinstance(window, slice)
        page = range(size)[window]
        new = set(page) - seen
        if not new:
            break
        seen |= new
        offset += len(new) if known else len(page)
    assert seen == set(range(size))


@pytest.mark.parametrize("kind", KINDS)
async def test_an_offset_can_be_ignored(kind: str) -> None:
    """Every page is the first."""
    async with running(projects=1, groups=7, failed_tasks=7, quirks=["ignores-offset"]) as caller:
        seen, _ = await pages(caller, kind, 3)
        assert len(seen) == 5
        assert seen == [seen[0]] * 5


@pytest.mark.parametrize("kind", KINDS)
async def test_pages_can_be_smaller_than_asked_for(kind: str) -> None:
    """A hundred at most; a page that is not full is not the last."""
    async with running(projects=1, groups=230, failed_tasks=230, quirks={"small-pages", "zero-count"}) as caller:
        seen, counts = await pages(caller, kind, 999)
        assert [len(page) for page in seen] == [100, 100, 30, 0]
        assert (len({item for page in seen for item in page}), counts) == (230, {0})
        seen, _ = await pages(caller, kind, 90)
        assert [len(page) for page in seen] == [90, 90, 50, 0]


async def test_a_count_can_be_that_of_the_page() -> None:
    """Of groups too, whose manual promises the total."""
    async with running(projects=1, groups=7, quirks=["page-count"]) as caller:
        seen, counts = await pages(caller, "server-groups", 3)
    assert ([len(page) for page in seen], counts) == ([3, 3, 1, 0], {3, 1, 0})


@pytest.mark.parametrize("kind", KINDS)
async def test_a_list_can_shrink_between_pages(kind: str) -> None:
    """What would have been the first of each further page has moved to where it is not asked for any more."""
    async with running(projects=1, groups=10, failed_tasks=10) as caller:
        [whole, *_], _ = await pages(caller, kind, 10)
    async with running(projects=1, groups=10, failed_tasks=10, quirks=["shrinks"]) as caller:
        seen, _ = await pages(caller, kind, 4)
    assert seen[:2] == [whole[:4], whole[5:9]]


def test_an_unknown_quirk_is_refused() -> None:
    """With those that there are."""
    with pytest.raises(ValueError, match="quirk 'lies' is not known: use wrong-count, "):
        Simulator(quirks=["zero-count", "lies"])


async def test_a_group_in_a_list_is_the_group_by_itself() -> None:
    """Both calls show the same fields, in the second project too."""
    async with running(projects=2, groups=5) as caller:
        path = f"/v1/{caller.sim.targets[-1][0]}/server-groups"
        _, body = await caller.call("GET", path)
        for group in body["server_groups"]:
            _, one = await caller.call("GET", f"{path}/{group['id']}")
            assert one["server_group"] == group


async def test_filters_and_pages_go_together() -> None:
    """A page is cut out of what matches."""
    async with running(projects=1, groups=40) as caller:
        query: dict[str, Any] = {"status": "protected", "offset": "2", "limit": "3"}
        _, body = await caller.call("GET", f"/v1/{caller.sim.targets[0][0]}/server-groups", params=query)
        names = [group["name"] for group in body["server_groups"]]
        assert (body["count"], names) == (10, ["group-0011", "group-0015", "group-0019"])


def test_a_page_costs_what_is_on_it() -> None:
    """Not what is in the project: a large fleet is listed page by page."""
    asked: list[int] = []

    class Counting(Fleet):
        def group_id(self, project: int, number: int) -> str:
            asked.append(number)
            return super().group_id(project, number)

    fleet = Counting(projects=2, groups=100_000, failed_tasks=1, seed=0)
    answer = Sdrs(fleet, Paging()).answer(Call("list_groups", fleet.project_ids[1]), "limit=3&offset=99998")
    assert asked == [99_998, 99_999]
    assert json.loads(answer.body)["count"] == 100_000
