"""Lists of a service that does not page as its manual says: complete, or reported as incomplete, and always an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, TypeVar
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrs_async.cloud.calls import PAGE
from sdrs_async.cloud.listing import FailedTask, Group, ListingError, Project, failed_tasks, group_ids, groups, projects
from sdrs_async.models import Listing, Reply, Verdict

T = TypeVar("T")
Page = Callable[[int, int], tuple[list[Any], object]]


class Lists:
    """Answers each page as `page(offset, limit)` says: the items, and what to say for their count.

    `asked`: the offsets in order; `most`: requests after which it is a loop.
    """

    def __init__(self, page: Page, key: str = "server_groups", most: int = 10_000) -> None:
        self.page = page
        self.key = key
        self.most = most
        self.asked: list[int] = []
        self.queries: list[Listing] = []
        self.answers: list[asyncio.Future[Reply]] = []

    def ask(self, listing: Listing) -> asyncio.Future[Reply]:
        """Start at once, as the engine does."""
        query = {name: values[0] for name, values in parse_qs(listing.query).items()}
        self.asked.append(int(query["offset"]))
        self.queries.append(listing)
        assert len(self.asked) <= self.most, "no end"
        items, count = self.page(int(query["offset"]), int(query["limit"]))
        data = {self.key: items} | ({} if count is None else {"count": count})
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        answer.set_result(Reply(Verdict.READ, 200, data=data))
        self.answers.append(answer)
        return answer


def items(ids: range | list[str] | list[int]) -> list[dict[str, str]]:
    """Groups with these ids."""
    return [{"id": str(one), "name": f"name {one}", "status": "available"} for one in ids]


def honest(total: int, cap: int = 1000, overlap: int = 0, count: object = "total") -> Page:
    """A server that pages by offset, with at most `cap` items; each repeats the last `overlap` before it."""

    def page(offset: int, limit: int) -> tuple[list[Any], object]:
        start = max(0, offset - overlap)
        found = items(range(start, min(start + min(limit, cap), total)))
        return found, {"total": total, "page": len(found)}.get(str(count), count)

    return page


async def read(lists: Lists) -> tuple[list[str], ListingError | None]:
    """The ids that came, and the error at the end."""
    return await taken(group.id async for group in groups(lists.ask, "p"))


async def taken(found: AsyncIterator[T]) -> tuple[list[T], ListingError | None]:
    """All that an iterator gives before it ends or fails."""
    got: list[T] = []
    try:
        async for one in found:
            got.append(one)  # noqa: PERF401 - what came before a failure counts
    except ListingError as error:
        return got, error
    return got, None


def run(page: Page) -> tuple[Lists, list[str], ListingError | None]:
    """What comes of a list on such a server."""
    lists = Lists(page)
    return lists, *asyncio.run(read(lists))


# ---- servers that page


COUNTS: list[object] = ["total", "page", None, 0, 1, -5, True, "many", "3", 3.5, [], {}]


@given(
    total=st.integers(0, 250),
    cap=st.integers(1, 100),
    overlap=st.integers(0, 50),
    count=st.sampled_from(COUNTS) | st.integers(-3, 260),
)
def test_an_honest_server_is_read_to_its_end(total: int, cap: int, overlap: int, count: object) -> None:
    """Whatever the size and overlap of its pages, and whatever `count` says: each id comes once, in order, and all."""
    overlap = min(overlap, max(0, cap - 2))
    _, ids, error = run(honest(total, cap, overlap, count))
    assert ids == [str(number) for number in range(total)]
    if not overlap:
        number = int(count) if count == "3" else count
        is_short = isinstance(number, int) and not isinstance(number, bool) and number > total
        assert (error is not None) is is_short
    if error is not None:
        assert error.reply.verdict is Verdict.INCOMPLETE


@given(st.lists(st.tuples(st.lists(st.integers(0, 30), max_size=40), st.integers(-5, 2000) | st.none()), max_size=60))
def test_any_server_comes_to_an_end(pages: list[tuple[list[int], int | None]]) -> None:
    """Pages at random, the last for ever: no id twice, and no more pages for each of two readings than ids, and two."""
    numbers = iter(pages)
    last: tuple[list[int], int | None] = pages[-1] if pages else ([], 0)

    def page(offset: int, limit: int) -> tuple[list[Any], object]:
        ids, count = next(numbers, last)
        return items(ids), count

    lists, ids, error = run(page)
    assert len(set(ids)) == len(ids)
    assert len(lists.asked) <= 2 * (len(ids) + 2)
    assert error is None or error.reply.verdict is Verdict.INCOMPLETE


@given(st.integers(1, 250), st.sampled_from([0, 7, 10**6, None]), st.booleans())
def test_a_server_that_ignores_the_offset_is_never_taken_for_complete(total: int, count: object, full: bool) -> None:
    """Each page is the first: what came is good, and where there is more the list is said to be incomplete."""
    shown = min(total, 100 if full else 5)
    lists = Lists(lambda offset, limit: (items(range(shown)), total if count == 0 else count))
    ids, error = asyncio.run(taken(group_ids(lists.ask, "p", 100)))
    assert ids == [str(number) for number in range(shown)]
    assert len(lists.asked) <= 4
    if shown < total:
        assert error is not None
        assert error.reply.verdict is Verdict.INCOMPLETE
        assert "repeats itself" in str(error)


@pytest.mark.parametrize("key", ["server_groups", "failure_jobs"])
def test_a_server_that_always_gives_all_is_whole(key: str) -> None:
    """One that knows neither offset nor limit gives more than a smaller page may have: its count is the list's."""
    for ids in ("abc", "a"):
        every = _as_tasks(items(list(ids)))
        lists = Lists(lambda offset, limit: (every, len(every)), key)  # noqa: B023 - asked within this turn
        reader = groups(lists.ask, "p") if key == "server_groups" else failed_tasks(lists.ask, "p", "g")
        found, error = asyncio.run(taken(reader))
        assert (len(found), error, len(lists.asked)) == (len(ids), None, 4)


def test_a_server_that_ignores_the_offset_alone_and_counts_its_page_is_incomplete() -> None:
    """100 of 250 for ever, which it calls 100: nothing shows that these are all."""
    lists, ids, error = run(lambda offset, limit: (items(range(min(limit, 100))), min(limit, 100)))
    assert (len(ids), lists.asked) == (100, [0, 99, 0, 98])
    assert error is not None
    assert error.reply.verdict is Verdict.INCOMPLETE


def test_pages_that_are_smaller_than_asked_for_and_counted_by_themselves() -> None:
    """500 of 1,500 look whole where `count` is the page's: one more page shows that they are not."""
    lists, ids, error = run(honest(1500, cap=500, count="page"))
    assert (len(ids), error, lists.asked) == (1500, None, [0, 499, 998, 1497, 1499])


@pytest.mark.parametrize("count", ["total", "page"])
def test_every_list_is_read_to_an_item_that_nothing_follows(count: str) -> None:
    """One more page for each that has any: neither a short page nor a count that is reached is an end."""
    expected = {0: [0], 7: [0, 6], PAGE: [0, PAGE - 1], 1500: [0, PAGE - 1, 1499]}
    for total, asked in expected.items():
        assert run(honest(total, count=count))[0].asked == asked
    assert run(honest(250, cap=100, count=count))[0].asked == [0, 99, 198, 249]


@pytest.mark.parametrize(("count", "asked"), [("total", [0, 1]), ("page", [0, 1, 0, 1]), (None, [0, 1, 0, 1])])
def test_a_single_item_is_all_where_two_pages_count_one(count: object, asked: list[int]) -> None:
    """It has nothing to join: else the list is read twice."""
    lists, ids, error = run(honest(1, count=count))
    assert (ids, error, lists.asked) == (["0"], None, asked)


def test_a_list_whose_count_is_taken_for_its_end_is_read_with_one_request() -> None:
    """For whoever deletes nothing by it."""
    for total in (0, 1, 7):
        lists = Lists(honest(total))
        found, error = asyncio.run(taken(groups(lists.ask, "p", by_count=True)))
        assert (len(found), error, lists.asked) == (total, None, [0])


# ---- lists that change, or are not what they say


@st.composite
def changes(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """What a list is before and after: some are gone, some are new, anywhere; those that stay are in the same order."""
    before = list(range(draw(st.integers(0, 40))))
    after = [one for one in before if draw(st.integers(0, 6))]
    for new in range(100, 100 + draw(st.integers(0, 6))):
        after.insert(draw(st.integers(0, len(after))), new)
    return before, after


@given(changes(), st.integers(1, 6), st.integers(1, 14), st.sampled_from(["total", "page", None, 0]))
def test_a_list_that_changes_between_pages_loses_none_that_stayed(
    lists: tuple[list[int], list[int]], when: int, cap: int, count: object
) -> None:
    """Deletions and additions anywhere, once: all that were there all the time come, each once, or it is incomplete."""
    before, after = lists
    requests = 0

    def page(offset: int, limit: int) -> tuple[list[Any], object]:
        nonlocal requests
        now = before if requests < when else after
        requests += 1
        found = now[offset : offset + min(limit, cap)]
        return items(found), {"total": len(now), "page": len(found)}.get(str(count), count)

    ids, error = asyncio.run(read(Lists(page)))
    assert len(set(ids)) == len(ids)
    assert set(ids) <= {str(one) for one in (*before, *after)}
    if error is None:
        assert {str(one) for one in before if one in after} <= set(ids)


def changing(*states: list[int] | range, cap: int = 100) -> Page:
    """Each page is one of the next state, the last for ever; counts are totals."""
    left = list(states)

    def page(offset: int, limit: int) -> tuple[list[Any], object]:
        now = left.pop(0) if len(left) > 1 else left[0]
        return items(now[offset : offset + min(cap, limit)]), len(now)

    return page


def test_a_list_that_shrinks_between_pages_is_read_once_more(caplog: pytest.LogCaptureFixture) -> None:
    """What moved past the end of a page comes with the second reading; nothing comes twice, and all is well then."""
    caplog.set_level("INFO", "sdrs_async")
    lists, ids, error = run(changing(range(250), range(10, 250)))
    assert error is None
    assert sorted(map(int, ids)) == list(range(250))
    assert lists.asked == [0, 99, 0, 99, 198, 239]
    assert caplog.messages == ["project p: the list of server_groups changes while it is read: it is read once more"]


def test_a_list_that_grows_at_its_start_is_read_once_more() -> None:
    """What is known comes again further down, and the count tells of more: the second reading has those too."""
    lists, ids, error = run(changing(range(250), [*range(900, 903), *range(250)]))
    assert error is None
    assert sorted(map(int, ids)) == [*range(250), *range(900, 903)]
    assert lists.asked == [0, 99, 198, 252, 0, 99, 198, 252]


@pytest.mark.parametrize("count", [False, True])
def test_a_list_that_is_put_in_another_order_loses_none(count: bool) -> None:
    """Two items change places between two pages, one of them to where nobody looks again."""
    before, after = [0, 1, 2, 3, 4], [3, 1, 2, 0, 4]
    states = [before, after]

    def page(offset: int, limit: int) -> tuple[list[Any], object]:
        now = states.pop(0) if len(states) > 1 else states[0]
        found = items(now[offset : offset + min(limit, 3)])
        return found, len(now) if count else len(found)

    _, ids, error = run(page)
    assert (sorted(ids), error) == (["0", "1", "2", "3", "4"], None)


def test_a_deletion_beside_a_move_shows_in_the_count() -> None:
    """All pages join, and one item has moved past unseen: an earlier page told of more."""
    _, ids, error = run(changing([0, 1, 2, 3, 4], [3, 1, 2, 4], cap=3))
    assert (sorted(ids), error) == (["0", "1", "2", "3", "4"], None)


def test_a_list_that_never_holds_still_is_incomplete() -> None:
    """Every page is of another state: two readings, and the error says what happens and how many were seen."""
    lists, ids, error = run(changing(*(range(10 * n, 250) for n in range(9))))
    assert lists.asked == [0, 99, 0, 99]
    assert error is not None
    assert error.reply.verdict is Verdict.INCOMPLETE
    assert str(error) == (
        f"the list of server_groups changes while it is read, also when it is read once more; {len(ids)} were seen"
    )


@pytest.mark.parametrize("key", ["server_groups", "failure_jobs"])
@pytest.mark.parametrize(
    ("shown", "count", "asked"),
    [
        (0, 5, [0, 0]), (0, "5", [0, 0]), (250, 251, [0, 99, 198, 249] * 2), (250, "251", [0, 99, 198, 249] * 2),
        (250, 10**9, [0, 99, 198, 249] * 2),
    ],
)  # fmt: skip
def test_a_count_that_is_never_reached_is_an_incomplete_list(
    key: str, shown: int, count: int | str, asked: list[int]
) -> None:
    """An empty page, the first one too, is no end while `count` tells of more: read once more, and then told."""
    lists = Lists(_of_tasks(honest(shown, cap=100, count=count)), key)
    reader = groups(lists.ask, "p") if key == "server_groups" else failed_tasks(lists.ask, "p", "g")
    found, error = asyncio.run(taken(reader))
    assert (len(found), lists.asked) == (shown, asked)
    assert error is not None
    assert error.reply.verdict is Verdict.INCOMPLETE
    assert f"the list of {key} ends after {shown} of {int(count):,}, which is its count" in str(error)


def _as_tasks(found: list[Any]) -> list[Any]:
    return [{**one, "job_id": one["id"]} for one in found]


def _of_tasks(page: Page) -> Page:
    def tasks(offset: int, limit: int) -> tuple[list[Any], object]:
        found, count = page(offset, limit)
        return _as_tasks(found), count

    return tasks


def test_an_empty_page_in_the_middle_is_no_end() -> None:
    """A page that is empty once, though more follows: the second reading has all of it."""
    whole, stumbles = honest(250, cap=100, count="page"), iter([False, False, True])
    lists, ids, error = run(lambda offset, limit: ([], 0) if next(stumbles, False) else whole(offset, limit))
    assert (len(ids), error) == (250, None)
    assert lists.asked == [0, 99, 198, 0, 99, 198, 249]


def test_failed_tasks_are_read_to_their_end_whatever_the_count() -> None:
    """Small pages, each with its own count, or a list that shrinks meanwhile: as with groups."""
    for page in (honest(250, cap=100, count="page"), changing(range(250), range(3, 250))):
        lists = Lists(_of_tasks(page), "failure_jobs")
        found, error = asyncio.run(taken(failed_tasks(lists.ask, "p", None)))
        assert error is None
        assert sorted(int(task.job_id) for task in found) == list(range(250))


def test_the_limit_is_one_that_the_service_takes_for_sure() -> None:
    """The manual allows 1000 and the text of its error less than that: 999 is asked for."""
    lists = run(honest(3))[0]
    assert {one.path for one in lists.queries} == {"/v1/p/server-groups"}
    assert [one.query for one in lists.queries] == ["limit=999&offset=0", "limit=999&offset=2"]


def test_small_pages_without_a_true_count_are_all_read() -> None:
    """A server that gives less than it was asked for, and says 0 for the count, has been read when nothing follows."""
    lists, ids, error = run(honest(250, cap=100, count=0))
    assert (len(ids), error, lists.asked) == (250, None, [0, 99, 198, 249])


def test_an_id_twice_on_a_page_comes_once() -> None:
    """Repeats inside a page are dropped, and the offset still counts what the server counted."""
    every = [1, 2, 2, 3, 3, 4]
    lists, ids, error = run(lambda offset, limit: (items(every[offset : offset + 4]), 6))
    assert (ids, error, lists.asked) == (["1", "2", "3", "4"], None, [0, 3, 5])


# ---- answers that are no list


@pytest.mark.parametrize(
    "page",
    [None, "text", {"id": "x"}, [None], ["id"], [{}], [{"id": None}], [{"id": 5}], [{"id": ""}], [{"id": ["x"]}]],
)
def test_what_is_no_list_is_an_error_and_no_end(page: Any) -> None:
    """Items without an id, or no items at all, are never a list that is complete."""
    lists, ids, error = run(lambda offset, limit: (page[offset:] if isinstance(page, list) else page, 1))
    assert ids == []
    assert len(lists.asked) <= 2
    assert error is not None
    assert error.reply.verdict is Verdict.REJECTED
    assert error.reply.data is None


def test_what_came_before_a_failure_is_good() -> None:
    """A page that is refused ends the list with its reply, after all that came before it."""
    lists = Lists(honest(2000))

    def ask(listing: Listing) -> asyncio.Future[Reply]:
        answer = lists.ask(listing)
        if len(lists.asked) == 2:
            answer = asyncio.get_running_loop().create_future()
            answer.set_result(Reply(Verdict.FORBIDDEN, 403, "SDRS.0004", "not allowed"))
        return answer

    ids, error = asyncio.run(taken(groups(ask, "p")))
    assert len(ids) == PAGE
    assert error is not None
    assert (str(error), error.reply.status_code) == ("not allowed", 403)


def test_ids_that_were_refused_before_a_failure_are_in_its_error() -> None:
    """A later page fails outright: what is wrong with those before it is told all the same, under its verdict."""
    lists = Lists(lambda offset, limit: ([{"id": "a"}, {"id": "a/b"}], 5))

    def ask(listing: Listing) -> asyncio.Future[Reply]:
        answer = lists.ask(listing)
        if len(lists.asked) == 2:
            answer = asyncio.get_running_loop().create_future()
            answer.set_result(Reply(Verdict.TRANSIENT, 503, message="busy"))
        return answer

    ids, error = asyncio.run(taken(group_ids(ask, "p")))
    assert ids == ["a"]
    assert error is not None
    assert (error.reply.verdict, error.reply.status_code) == (Verdict.TRANSIENT, 503)
    assert str(error).startswith("busy; and the list of server_groups has an item for which nothing was sent, ")
    assert "'a/b' is refused" in error.reply.message


# ---- ids that cannot be used

UNUSABLE = [
    "\u200babc", "abc\u00a0", "abc\n", " abc", "a\tbc", "abc\ud800", "\ufeffabc", "a\u00adbc", "abc\x00", "abc\u2028",
    "batch", "\uff42atch", "a/b", "..", "", "x" * 300, None, 5, True, ["abc"], {"id": "abc"},
]  # fmt: skip


@pytest.mark.parametrize("bad", UNUSABLE, ids=ascii)
@pytest.mark.parametrize("first", [True, False])
def test_an_id_that_cannot_be_used_is_refused_and_no_other_is_made_of_it(bad: object, first: bool) -> None:
    """What would be `abc` once it is tidied up is not `abc`: it is named in the error, after all ids that are good."""
    data = [{"id": bad}, {"id": "good"}] if first else [{"id": "good"}, {"id": bad}, {"id": "also"}]
    _, ids, error = run(lambda offset, limit: (data[offset:], len(data)))
    assert ids == (["good"] if first else ["good", "also"])
    assert error is not None
    assert (error.reply.verdict, error.reply.data) == (Verdict.REJECTED, None)
    assert f"id {ascii(bad)[:70]}" in str(error)
    assert "is refused: " in str(error)
    assert str(error).isprintable()


def test_pages_after_an_id_that_cannot_be_used_are_read() -> None:
    """Every page is read to the last, also one of nothing but refused ids; the error counts them and names three."""
    every: list[Any] = ["a", "a\u200b", "\u200ba", "a\n", "b", "a ", None]

    def page(offset: int, limit: int) -> tuple[list[Any], object]:
        return [{"id": one} for one in every[offset : offset + 3]], 0

    lists, ids, error = run(page)
    assert (ids, lists.asked) == (["a", "b"], [0, 2, 4, 6])
    assert str(error) == (
        "the list of server_groups has 5 items for which nothing was sent, the others are good: "
        r"id 'a\u200b' is refused: it holds a control or other invisible character; "
        r"id '\u200ba' is refused: it holds a control or other invisible character; "
        r"id 'a\n' is refused: it holds a control or other invisible character; ..."
    )


@given(st.lists(st.text(st.sampled_from("aA\u00e4\u0308\u200b\u00a0\n\ud800 "), max_size=3), max_size=8))
def test_ids_come_exactly_as_they_are_in_the_list(ids: list[str]) -> None:
    """Each once, letter for letter, in any case and Unicode form; those that cannot be used are missing, and told."""
    found, error = asyncio.run(taken(group_ids(Lists(lambda offset, limit: (items(ids[offset:]), len(ids))).ask, "p")))
    usable = [one for one in dict.fromkeys(ids) if one and set(one) <= set("aA\u00e4\u0308")]
    assert found == usable
    assert (error is None) == (len(usable) == len(set(ids)))


def test_a_failed_task_with_an_id_that_cannot_be_used_is_refused() -> None:
    """Ids of failed tasks and of what they worked on, and its name, come as they are, or not at all."""
    good = {"job_id": "j", "resource_id": " r\u200b", "resource_name": " n\u00a0", "fail_reason": "a\n b"}
    lists = Lists(lambda offset, limit: ([good, {"job_id": "j\u200b"}][offset:], 2), "failure_jobs")
    found, error = asyncio.run(taken(failed_tasks(lists.ask, "p", "g")))
    assert [(one.job_id, one.resource_id, one.resource_name, one.fail_reason) for one in found] == [
        ("j", " r\u200b", " n\u00a0", "a b")
    ]
    assert error is not None
    assert r"job_id 'j\u200b' is refused" in str(error)


# ---- a page ahead


def test_at_most_one_page_is_asked_for_ahead() -> None:
    """While the items of a page are taken, the next page is on its way, and no other."""
    lists = Lists(honest(5 * PAGE))

    async def main() -> None:
        taken = 0
        async for _ in groups(lists.ask, "p"):
            taken += 1
            assert len(lists.asked) <= (taken - 1) // (PAGE - 1) + 2

    asyncio.run(main())
    assert lists.asked == [*((PAGE - 1) * number for number in range(6)), 5 * PAGE - 1]


def test_who_stops_reading_asks_for_no_more() -> None:
    """A reader that leaves after one group has cost two pages at most."""
    lists = Lists(honest(5 * PAGE))

    async def main() -> None:
        async with aclosing(groups(lists.ask, "p")) as found:
            async for _ in found:
                break

    asyncio.run(main())
    assert lists.asked == [0, PAGE - 1]


def test_a_page_that_waits_is_cut_down_to_what_is_needed() -> None:
    """Many pages wait at the same time: what nobody needs of them is dropped when they arrive."""

    def page(offset: int, limit: int) -> tuple[list[Any], object]:
        return [{**item, "description": "long"} for item in items(range(offset, offset + limit))], 1998

    async def main() -> None:
        lists = Lists(page)
        async with aclosing(group_ids(lists.ask, "p", 100)) as found:
            await anext(found)
            await asyncio.sleep(0)
            (waiting,) = lists.answers[1:]
            assert waiting.result().data == (
                [(str(number),) for number in range(99, 199)], [], "99", "198", 100, 1998
            )  # fmt: skip

    asyncio.run(main())


# ---- what the items are


def test_items_are_what_the_service_says_and_nothing_else() -> None:
    """Fields that are missing or no text are empty; a name is as it came, the others have no control characters."""
    data = [
        {"id": "a", "name": " x\x1b[31m\ny\ud800", "status": "a\x1b\nb"},
        {"id": "b", "name": 5, "status": None, "z": 1},
    ]

    async def main() -> list[Group]:
        return [group async for group in groups(Lists(lambda offset, limit: (data, 2)).ask, "p")]

    assert asyncio.run(main()) == [Group("a", " x\x1b[31m\ny\ud800", "a b"), Group("b", "", "")]


@pytest.mark.parametrize("group", [None, "g1"])
def test_failed_tasks_are_read_of_one_layer(group: str | None) -> None:
    """Those inside a group are asked for with its id, those of the project's level without."""
    data = [{"job_id": "j", "job_type": "createReplication", "error_code": "SDRS.0013"}]
    lists = Lists(lambda offset, limit: (data[offset:], 1), "failure_jobs")

    async def main() -> list[FailedTask]:
        return [task async for task in failed_tasks(lists.ask, "p", group)]

    [task] = asyncio.run(main())
    assert (task.job_id, task.job_type, task.error_code, task.fail_reason) == (
        "j",
        "createReplication",
        "SDRS.0013",
        "",
    )
    suffix = "&server_group_id=g1" if group else ""
    assert [(one.path, one.query) for one in lists.queries] == [
        ("/v1/p/task-center/failure-jobs", f"limit=999&offset={offset}{suffix}") for offset in (0, 1)
    ]


# ---- projects


def project_lists(*pages: dict[str, Any]) -> tuple[list[str], list[Project], ListingError | None]:
    """What comes of these pages of IAM: the queries, the projects, the error."""
    queries: list[str] = []

    def ask(listing: Listing) -> asyncio.Future[Reply]:
        assert listing.at_iam
        assert listing.path == "/v3/auth/projects"
        queries.append(listing.query)
        assert len(queries) < 50, "no end"
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        answer.set_result(Reply(Verdict.READ, 200, data=pages[min(len(queries), len(pages)) - 1]))
        return answer

    found, error = asyncio.run(taken(projects(ask)))
    return queries, found, error


def test_projects_are_read_page_by_page() -> None:
    """The query of the next page is the server's, its host is not."""
    first = {
        "projects": [{"id": "a", "name": "eu-de"}],
        "links": {"next": "https://evil.example/v3/x?marker=a&limit=1"},
    }
    last = {"projects": [{"id": "b", "name": "eu-nl_x", "enabled": False, "is_domain": True}], "links": {"next": None}}
    queries, found, error = project_lists(first, last)
    assert (queries, error) == (["", "marker=a&limit=1"], None)
    assert found == [Project("a", "eu-de"), Project("b", "eu-nl_x", enabled=False, is_domain=True)]
    assert [one.region for one in found] == ["eu-de", "eu-nl"]


@pytest.mark.parametrize("links", [None, [], "next", {}, {"next": None}, {"next": ""}])
def test_a_list_of_projects_without_a_next_page_is_complete(links: object) -> None:
    """Links that name no next page, or are none, end the list."""
    queries, found, error = project_lists({"projects": [{"id": "a", "name": "n"}], "links": links})
    assert (len(queries), len(found), error) == (1, 1, None)


@pytest.mark.parametrize(
    "link", [5, ["x?a"], "http://[", "/v3/auth/projects", "x?a b", "x?a\r\nb", "x?\u00e4", " ", "?", "x?a#b?c d"]
)
def test_a_next_page_that_cannot_be_asked_for_is_an_incomplete_list(link: object) -> None:
    """A link that is no URL, or has no query that may be sent, is neither followed nor taken for the end."""
    queries, found, error = project_lists({"projects": [{"id": "a", "name": "n"}], "links": {"next": link}})
    assert (queries, len(found)) == ([""], 1)
    assert error is not None
    assert error.reply.verdict is Verdict.INCOMPLETE


@pytest.mark.parametrize("bad", UNUSABLE, ids=ascii)
def test_a_project_with_an_id_that_cannot_be_used_is_listed_with_its_doubt(bad: object) -> None:
    """Its id and name are as they came, so that it stands for itself and no other; nothing is to be sent for it."""
    page = {"projects": [{"id": bad, "name": " eu-de\u200b"}, {"id": "good", "name": "eu-de"}]}
    _, found, error = project_lists(page)
    assert error is None
    odd, good = found
    assert (odd.id, odd.name) == (bad if isinstance(bad, str) else "", " eu-de\u200b")
    assert odd.why_left_out(None) == odd.doubt
    assert odd.doubt is not None
    assert odd.doubt.startswith(f"id {ascii(bad)[:70]}")
    assert good == Project("good", "eu-de")


@pytest.mark.parametrize("flag", ["enabled", "is_domain"])
@pytest.mark.parametrize("value", ["true", "false", "", 0, 1, [], {}])
def test_a_project_whose_flags_are_neither_true_nor_false_is_in_doubt(flag: str, value: object) -> None:
    """Whether it is a domain, or disabled, cannot be told: it is neither cleaned nor left out without a word."""
    page = {"projects": [{"id": "a", "name": "eu-de", flag: value}]}
    [project] = project_lists(page)[1]
    assert project.doubt == f"{flag} is neither true nor false: {value!a}"
    assert project.why_left_out("eu-de") == project.doubt


@pytest.mark.parametrize("again", [{"name": "eu-de_x"}, {"name": "eu-de "}, {"enabled": False}, {"is_domain": True}])
def test_a_project_that_is_listed_twice_and_differently_is_an_incomplete_list(again: dict[str, Any]) -> None:
    """Which of its entries is right cannot be told, nor whom a name means; exact repeats are one project."""
    one = {"id": "a", "name": "eu-de"}
    _, found, error = project_lists({"projects": [one, one | again]})
    assert found == [Project("a", "eu-de")]
    assert error is not None
    assert error.reply.verdict is Verdict.INCOMPLETE
    assert "has 'a' twice, " in str(error)
    assert project_lists({"projects": [one, one]})[1:] == ([Project("a", "eu-de")], None)


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ({"projects": [{"id": "a", "name": "n"}], "truncated": True}, "is cut off after 1 of them"),
        ({"projects": [{"id": "a", "name": "n"}], "truncated": "true", "links": {"next": None}}, "is cut off after 1"),
        ({"projects": [], "links": {"next": "x?marker=a"}}, "repeats itself after 0 of them"),
    ],
)
def test_a_list_of_projects_that_says_itself_that_there_are_more_is_incomplete(
    page: dict[str, Any], words: str
) -> None:
    """Keystone's mark of a list that was cut off, and a first page that is empty and not the last."""
    _, found, error = project_lists(page)
    assert len(found) == len(page["projects"])
    assert error is not None
    assert error.reply.verdict is Verdict.INCOMPLETE
    assert words in str(error)


def test_a_list_of_projects_that_is_cut_off_into_pages_is_whole() -> None:
    """Where it names the next page it goes on there; an empty page after others is the last, whatever it names."""
    first = {"projects": [{"id": "a", "name": "n"}], "truncated": True, "links": {"next": "x?marker=a"}}
    last = {"projects": [], "links": {"next": "x?marker=a"}}
    more = {"projects": [{"id": "b", "name": "n"}], "truncated": False}
    for second, count in ((more, 2), (last, 1)):
        queries, found, error = project_lists(first, second)
        assert (len(queries), len(found), error) == (2, count, None)


def test_projects_whose_ids_differ_in_case_only_are_two() -> None:
    """Ids and names are compared letter for letter."""
    page = {"projects": [{"id": "ab", "name": "n"}, {"id": "AB", "name": "N"}, {"id": "\u00e4", "name": "n"}]}
    assert [one.id for one in project_lists(page)[1]] == ["ab", "AB", "\u00e4"]


def test_projects_that_repeat_come_to_an_end() -> None:
    """A next page that leads in a circle is an incomplete list."""
    page = {"projects": [{"id": "a", "name": "n"}, {"id": "a", "name": "n"}], "links": {"next": "x?marker=a"}}
    queries, found, error = project_lists(page)
    assert (len(queries), len(found)) == (2, 1)
    assert error is not None
    assert error.reply.verdict is Verdict.INCOMPLETE


@pytest.mark.parametrize("bound", ["_MOST_PROJECTS", "_MOST_PAGES"])
def test_projects_without_end_come_to_an_end(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """New ones on every page, for ever: as many as any account could have are kept, and the list is incomplete."""
    monkeypatch.setattr(f"sdrs_async.cloud.listing.{bound}", 10)
    pages = [{"projects": [{"id": f"{n}", "name": "n"}], "links": {"next": f"x?marker={n}"}} for n in range(40)]
    queries, found, error = project_lists(*pages)
    assert (len(queries), len(found)) == (10, 10)
    assert error is not None
    assert error.reply.verdict is Verdict.INCOMPLETE
    assert "goes on after 10 of them on 10 pages" in error.reply.message
    pages[9]["links"] = {}  # as many as that are no trouble
    assert project_lists(*pages)[2] is None


@pytest.mark.parametrize(
    ("project", "reason"),
    [
        (Project("a", "eu-de"), None),
        (Project("a", "eu-de_prod"), None),
        (Project("a", "eu-nl"), "of region eu-nl"),
        (Project("a", "eu-de-2_x"), "of region eu-de-2"),
        (Project("a", "MOS"), "object storage only"),
        (Project("a", "eu-de\u200b"), "of region 'eu-de\\u200b'"),
        (Project("a", " eu-de"), "of region  eu-de"),
        (Project("a", "_eu-de"), "of no region by its name"),
        (Project("a", "eu-de", enabled=False), "disabled"),
        (Project("a", "eu-de", is_domain=True), "a domain, no project"),
    ],
)
def test_projects_without_the_service_are_left_out_with_a_reason(project: Project, reason: str | None) -> None:
    """Disabled ones, domains, the object storage's own and those of other regions have no groups here."""
    assert project.why_left_out("eu-de") == reason
    if reason is None or not reason.startswith("of "):
        assert project.why_left_out(None) == reason


def test_failed_tasks_are_read_to_the_end_before_the_first_is_handed_out() -> None:
    """Whoever deletes while reading hides no other: the service pages by offset."""

    def page(offset: int, limit: int) -> tuple[list[Any], object]:
        left = range(offset, min(offset + limit, 2500))
        return [{"job_id": str(number)} for number in left], 2500

    async def main() -> None:
        lists = Lists(page, key="failure_jobs")
        async with aclosing(failed_tasks(lists.ask, "p", "g")) as found:
            await anext(found)
            assert lists.asked == [0, 998, 1996, 2499]

    asyncio.run(main())
