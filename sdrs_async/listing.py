"""Reading the lists of the service: projects, protection groups, failed tasks. A page ahead at most.

What asks for a page is handed in, so that each takes its turn under the same limits as a deletion.
"""

from __future__ import annotations

import asyncio
import re
from array import array
from bisect import bisect_left
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from sdrs_async.errors import ListingError
from sdrs_async.models import Listing, Reply, Verdict
from sdrs_async.wire import PAGE, failures_page, groups_page, one_line, projects_page

__all__ = ["Ask", "FailedTask", "Group", "Project", "failed_tasks", "group_ids", "groups", "projects"]

Ask = Callable[[Listing], "asyncio.Future[Reply]"]
"""Asks for one page; starts at once, and is waited for later."""

# The object storage's own pseudo-project, which no other service knows (vendor's IAM manual, list of projects).
_PSEUDO_PROJECT = "MOS"
_NEXT_QUERY = re.compile(r"[^?#]*\?([\w.~%&=+:;,@/?!$'()*-]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Project:
    """A project as IAM lists it. The built-in project of a region has its name, others have it before a `_`."""

    id: str
    name: str
    enabled: bool = True
    is_domain: bool = False

    @property
    def region(self) -> str:
        """The region it lies in."""
        return self.name.partition("_")[0]

    def why_left_out(self, region: str | None) -> str | None:
        """Why the service of this region (`None`: of an unknown one) has nothing of it, or `None` when it may have."""
        if self.is_domain:
            return "a domain, no project"
        if not self.enabled:
            return "disabled"
        if self.name == _PSEUDO_PROJECT:
            return "object storage only"
        return f"of region {self.region}" if region is not None and self.region != region else None


@dataclass(frozen=True, slots=True)
class Group:
    """A protection group. `status` is an open string: the service may know more than its manual."""

    id: str
    name: str
    status: str


@dataclass(frozen=True, slots=True)
class FailedTask:
    """A failed task, its fields as the service spells them (sdrs_05_0901); all are strings, empty where missing."""

    job_id: str
    job_type: str
    job_status: str
    failure_status: str
    resource_id: str
    resource_name: str
    resource_type: str
    begin_time: str
    error_code: str
    fail_reason: str


async def projects(ask: Ask) -> AsyncGenerator[Project, None]:
    """All projects that the account may use. Raises `ListingError`."""
    query, seen = "", _Seen()
    while True:
        reply = await ask(projects_page(query))
        items = _items(reply, "projects")
        if items is None:
            raise _no_list(reply, "projects")
        known = seen.count
        for item in items:
            if seen.is_new(item["id"]):
                enabled, is_domain = item.get("enabled") is not False, item.get("is_domain") is True
                yield Project(item["id"], _text(item, "name"), enabled, is_domain)
        links = reply.data.get("links")
        following = links.get("next") if isinstance(links, Mapping) else None
        if not items or not isinstance(following, str):
            return
        match = _NEXT_QUERY.fullmatch(following)
        if match is None or seen.count == known:
            raise _incomplete(reply, "projects", seen.count)
        query = match[1]  # the host is the server's word, and gets no credential


async def groups(ask: Ask, project_id: str) -> AsyncGenerator[Group, None]:
    """All protection groups of a project (sdrs_05_0402). Raises `ListingError`."""
    async with aclosing(_rows(ask, partial(groups_page, project_id), _List("server_groups", Group.__slots__))) as rows:
        async for row in rows:
            yield Group(*row)


async def group_ids(ask: Ask, project_id: str, limit: int = PAGE) -> AsyncGenerator[str, None]:
    """The ids of all protection groups of a project, so many to a page. Raises `ListingError`."""
    async with aclosing(_rows(ask, partial(groups_page, project_id), _List("server_groups", ("id",), limit))) as rows:
        async for (group_id,) in rows:
            yield group_id


async def failed_tasks(ask: Ask, project_id: str, server_group_id: str | None) -> AsyncGenerator[FailedTask, None]:
    """All failed tasks inside a group, or without one those of the project's level. Raises `ListingError`.

    The list is read to its end before the first one is handed out: the service pages by offset, so that a deletion in
    between would hide others (sdrs_05_0901).
    """
    page_at = partial(failures_page, project_id, server_group_id)
    found: list[Row] = []
    error: ListingError | None = None
    try:
        async with aclosing(_rows(ask, page_at, _List("failure_jobs", FailedTask.__slots__))) as rows:
            async for row in rows:
                found.append(row)  # noqa: PERF401 - what came before an error is good, and has to be kept
    except ListingError as incomplete:
        error = incomplete
    for row in found:
        yield FailedTask(*row)
    if error is not None:
        raise error


class _List(NamedTuple):
    """Where a list is in an answer, which fields of its items are wanted, their id first, and how many to a page."""

    key: str
    names: Sequence[str]
    limit: int = PAGE


Row = tuple[str, ...]


async def _rows(ask: Ask, page_at: Callable[[int, int], Listing], wanted: _List) -> AsyncGenerator[Row, None]:
    """The items of all pages, each once.

    An empty page is the last, and so is a short one where `count` agrees with all that came: it alone is no reason to
    stop, since it may be the page's or the whole list's, and a server may have smaller pages than it was asked for. A
    page that brings nothing new comes from a server that ignores the offset.
    """
    seen, received = _Seen(), 0

    def page_from(offset: int) -> asyncio.Future[Reply]:
        page = ask(page_at(offset, wanted.limit))
        page.add_done_callback(partial(_arrived, wanted))
        return page

    coming = page_from(0)
    while True:
        reply = await coming
        page = _page(reply, wanted)
        received += len(page.rows)
        known = seen.count
        fresh = [row for row in page.rows if seen.is_new(row[0])]
        if page.rows and seen.count == known:
            raise _incomplete(reply, wanted.key, seen.count)
        more = bool(page.rows) and (len(page.rows) >= wanted.limit or page.total != seen.count)
        if more:
            coming = page_from(received)
        del reply, page
        for row in fresh:
            yield row
        if not more:
            return


class _Page(NamedTuple):
    """What is kept of a page; `total` is what the answer says of it."""

    rows: list[Row]
    total: int


def _arrived(wanted: _List, page: asyncio.Future[Reply]) -> None:
    if not page.cancelled():
        _cut_down(page.result(), wanted)


def _cut_down(reply: Reply, wanted: _List) -> None:
    """Keep what is wanted of a page, as soon as it is there: that is little of it, and many wait at the same time."""
    if reply.verdict is not Verdict.READ or isinstance(reply.data, _Page):
        return
    items, total = _items(reply, wanted.key), reply.data.get("count")
    if items is not None:
        rows = [tuple(_text(item, name) for name in wanted.names) for item in items]
        reply.data = _Page(rows, total if isinstance(total, int) else 0)


def _page(reply: Reply, wanted: _List) -> _Page:
    _cut_down(reply, wanted)  # a reply that was there at once has told nobody
    if not isinstance(reply.data, _Page):
        raise _no_list(reply, wanted.key)
    return reply.data


def _items(reply: Reply, key: str) -> list[dict[str, Any]] | None:
    """The items of an answer, each with an id; `None` where it is no such list."""
    items = reply.data.get(key) if reply.verdict is Verdict.READ else None
    id_key = "job_id" if key == "failure_jobs" else "id"
    if not isinstance(items, list) or any(not isinstance(i, dict) or not _is_id(i.get(id_key)) for i in items):
        return None
    return items


def _is_id(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _text(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    return one_line(value) if isinstance(value, str) else ""


def _no_list(reply: Reply, key: str) -> ListingError:
    if reply.verdict is not Verdict.READ:
        return ListingError(reply.message or str(reply.verdict), reply)
    message = f"the answer is no list of {key}, each with its id"
    return ListingError(message, replace(reply, verdict=Verdict.REJECTED, message=message, data=None))


def _incomplete(reply: Reply, key: str, count: int) -> ListingError:
    message = f"the list of {key} repeats itself after {count:,} of them: the service does not page as it should"
    return ListingError(message, replace(reply, verdict=Verdict.INCOMPLETE, message=message, data=None))


class _Seen:
    """Which ids came already; eight bytes for each, since many lists are read at the same time.

    It keeps hashes: that two ids of one project share one of 2^64 is less likely than a damaged disk.
    """

    __slots__ = ("_page", "_sorted", "count")

    def __init__(self) -> None:
        self.count = 0
        self._page: set[int] = set()
        self._sorted: list[array[int]] = []

    def is_new(self, item_id: str) -> bool:
        """Whether it did not come before; from now on it did."""
        key = hash(item_id)
        if key in self._page or any(_holds(keys, key) for keys in self._sorted):
            return False
        self._page.add(key)
        self.count += 1
        if len(self._page) >= PAGE:
            self._sorted.append(array("q", sorted(self._page)))
            self._page = set()
        return True


def _holds(keys: array[int], key: int) -> bool:
    place = bisect_left(keys, key)
    return place < len(keys) and keys[place] == key
