"""Reading the lists of the service: projects, protection groups, failed tasks. A page ahead at most.

What asks for a page is handed in, so that each takes its turn under the same limits as a deletion. Ids and names are
kept exactly as they came, since one that was tidied up may be another one's: whoever shows a name makes it printable.
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

from sdrs_async.errors import ConfigError, ListingError
from sdrs_async.models import Listing, Reply, Verdict
from sdrs_async.wire import PAGE, check_id, failures_page, groups_page, one_line, projects_page, visible

__all__ = ["Ask", "FailedTask", "Group", "Project", "failed_tasks", "group_ids", "groups", "projects"]

Ask = Callable[[Listing], "asyncio.Future[Reply]"]
"""Asks for one page; starts at once, and is waited for later."""

# The object storage's own pseudo-project, which no other service knows (vendor's IAM manual, list of projects).
_PSEUDO_PROJECT = "MOS"
# Projects of one account, and pages that list them; a list that goes on behind either has no end.
_MOST_PROJECTS = 100_000
_MOST_PAGES = 1_000
# Refused items of a list that its error names.
_REASONS = 3
_AS_IT_CAME = frozenset({"id", "name", "job_id", "resource_id", "resource_name"})
_NEXT_QUERY = re.compile(r"[^?#]*\?([\w.~%&=+:;,@/?!$'()*-]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Project:
    """A project as IAM lists it. The built-in project of a region has its name, others have it before a `_`.

    `doubt`: what of its entry in the list cannot be relied on, so that nothing may be sent for it; `None` as a rule.
    `id` is empty where it is no text.
    """

    id: str
    name: str
    enabled: bool = True
    is_domain: bool = False
    doubt: str | None = None

    @property
    def region(self) -> str:
        """The region it lies in."""
        return self.name.partition("_")[0]

    def why_left_out(self, region: str | None) -> str | None:
        """Why the service of this region (`None`: of an unknown one) has nothing of it, or `None` when it may have."""
        if self.doubt is not None:
            return self.doubt
        if self.is_domain:
            return "a domain, no project"
        if not self.enabled:
            return "disabled"
        if self.name == _PSEUDO_PROJECT:
            return "object storage only"
        if region is None or self.region == region:
            return None
        return f"of region {visible(self.region)}" if self.region else "of no region by its name"


@dataclass(frozen=True, slots=True)
class Group:
    """A protection group, its name as it came. `status` is an open string: there may be more than the manual knows."""

    id: str
    name: str
    status: str


@dataclass(frozen=True, slots=True)
class FailedTask:
    """A failed task, its fields as the service spells them (sdrs_05_0901); all are strings, empty where missing.

    The ids and the name are as they came, the others one printable line.
    """

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
    """All projects that the account may use, those that cannot be relied on with their doubt. Raises `ListingError`.

    The list is read to its end before the first one is handed out: what comes later may contradict it.
    """
    found: dict[str | Project, Project] = {}
    error: ListingError | None = None
    try:
        await _read_projects(ask, found)
    except ListingError as incomplete:
        error = incomplete
    for project in found.values():
        yield project
    if error is not None:
        raise error


async def _read_projects(ask: Ask, found: dict[str | Project, Project]) -> None:
    query: str | None = ""
    pages = 0
    while query is not None:
        reply = await ask(projects_page(query))
        pages += 1
        items = _items(reply, "projects")
        if items is None:
            raise _no_list(reply, "projects")
        known = len(found)
        for project in map(_project, items):
            first = found.setdefault(project.id or project, project)
            if first != project:
                raise _contradicted(reply, first, project)
        query = _following(reply) if items else None
        if query == "" or (query is not None and len(found) == known):
            raise _incomplete(reply, "projects", len(found))
        if query is not None and (len(found) >= _MOST_PROJECTS or pages >= _MOST_PAGES):
            raise _endless(reply, len(found), pages)


def _following(reply: Reply) -> str | None:
    """The query of the next page; `None` where there is none, and empty where it cannot be asked for.

    The host is the server's word, and gets no credential.
    """
    links = reply.data.get("links")
    following = links.get("next") if isinstance(links, Mapping) else None
    if following is None or following == "":  # some write nothing, others an empty text
        return None
    match = _NEXT_QUERY.fullmatch(following) if isinstance(following, str) else None
    return "" if match is None else match[1]


def _project(item: Mapping[str, Any]) -> Project:
    enabled, is_domain = item.get("enabled"), item.get("is_domain")
    doubt = _refusal("id", item) or _unclear(enabled=enabled, is_domain=is_domain)
    return Project(_text(item, "id"), _text(item, "name"), enabled is not False, is_domain is True, doubt)


def _unclear(**flags: object) -> str | None:
    """What is neither true, false nor missing: whether the project is to be left out cannot be told then."""
    unclear = (
        f"{name} is neither true nor false: {ascii(flag)[:80]}"
        for name, flag in flags.items()
        if not isinstance(flag, bool | None)
    )
    return next(unclear, None)


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
    seen, refused, received = _Seen(), _Refused(), 0

    def page_from(offset: int) -> asyncio.Future[Reply]:
        page = ask(page_at(offset, wanted.limit))
        page.add_done_callback(partial(_arrived, wanted))
        return page

    coming = page_from(0)
    while True:
        reply = await coming
        page = _page(reply, wanted)
        received += page.size
        known = seen.count
        fresh = [row for row in page.rows if seen.is_new(row[0])]
        refused.add([reason for reason in page.refused if seen.is_new(reason)])
        if page.size and seen.count == known:
            raise _incomplete(reply, wanted.key, seen.count)
        more = page.size > 0 and (page.size >= wanted.limit or page.total != seen.count)
        if more:
            coming = page_from(received)
        error = _unusable(reply, wanted.key, refused) if refused.count and not more else None
        del reply, page
        for row in fresh:
            yield row
        if error is not None:
            raise error
        if not more:
            return


class _Page(NamedTuple):
    """What is kept of a page: its items, why others were refused, and `total`, which is what the answer says of it."""

    rows: list[Row]
    refused: list[str]
    total: int

    @property
    def size(self) -> int:
        """How many items the server counted."""
        return len(self.rows) + len(self.refused)


class _Refused:
    """How many items of a list have no id that can be used, and why the first of them have not."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def add(self, reasons: Sequence[str]) -> None:
        """Count some more."""
        self.count += len(reasons)
        self.first += reasons[: _REASONS - len(self.first)]


def _arrived(wanted: _List, page: asyncio.Future[Reply]) -> None:
    if not page.cancelled():
        _cut_down(page.result(), wanted)


def _cut_down(reply: Reply, wanted: _List) -> None:
    """Keep what is wanted of a page, as soon as it is there: that is little of it, and many wait at the same time."""
    if reply.verdict is not Verdict.READ or isinstance(reply.data, _Page):
        return
    items, total = _items(reply, wanted.key), reply.data.get("count")
    if items is None:
        return
    rows: list[Row] = []
    refused: list[str] = []
    for item in items:
        if (reason := _refusal(wanted.names[0], item)) is None:
            rows.append(tuple(_text(item, name) for name in wanted.names))
        else:
            refused.append(reason)
    reply.data = _Page(rows, refused, total if isinstance(total, int) else 0)


def _page(reply: Reply, wanted: _List) -> _Page:
    _cut_down(reply, wanted)  # a reply that was there at once has told nobody
    if not isinstance(reply.data, _Page):
        raise _no_list(reply, wanted.key)
    return reply.data


def _items(reply: Reply, key: str) -> list[dict[str, Any]] | None:
    """The items of an answer; `None` where it is no such list."""
    items = reply.data.get(key) if reply.verdict is Verdict.READ else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return None
    return items


def _refusal(id_key: str, item: Mapping[str, Any]) -> str | None:
    """Why the id of an item cannot be used; nothing is sent for it then. `None` when it can."""
    try:
        check_id(id_key, item.get(id_key))
    except ConfigError as error:
        return str(error)
    return None


def _text(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        return ""
    return value if name in _AS_IT_CAME else one_line(value)


def _no_list(reply: Reply, key: str) -> ListingError:
    if reply.verdict is not Verdict.READ:
        return ListingError(reply.message or str(reply.verdict), reply)
    return _error(reply, Verdict.REJECTED, f"the answer is no list of {key}")


def _unusable(reply: Reply, key: str, refused: _Refused) -> ListingError:
    items = "an item" if refused.count == 1 else f"{refused.count:,} items"
    more = "; ..." if refused.count > len(refused.first) else ""
    reasons = "; ".join(refused.first)
    message = f"the list of {key} has {items} for which nothing was sent, the others are good: {reasons}{more}"
    return _error(reply, Verdict.REJECTED, message)


def _contradicted(reply: Reply, first: Project, again: Project) -> ListingError:
    names = (
        f"as {ascii(first.name)[:80]} and as {ascii(again.name)[:80]}" if first.name != again.name else "differently"
    )
    what = f"the list of projects has {ascii(first.id)[:80]} twice, {names}: which ones are meant cannot be told"
    return _error(reply, Verdict.INCOMPLETE, what)


def _incomplete(reply: Reply, key: str, count: int) -> ListingError:
    message = f"the list of {key} repeats itself after {count:,} of them: the service does not page as it should"
    return _error(reply, Verdict.INCOMPLETE, message)


def _endless(reply: Reply, count: int, pages: int) -> ListingError:
    message = f"the list of projects goes on after {count:,} of them on {pages:,} pages: no account has so many"
    return _error(reply, Verdict.INCOMPLETE, message)


def _error(reply: Reply, verdict: Verdict, message: str) -> ListingError:
    return ListingError(message, replace(reply, verdict=verdict, message=message, data=None))


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
