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
from typing import Any

from sdrs_async.errors import ListingError
from sdrs_async.models import Listing, Reply, Verdict
from sdrs_async.wire import PAGE, failures_page, groups_page, one_line, projects_page

__all__ = ["Ask", "FailedTask", "Group", "Project", "failed_tasks", "groups", "projects"]

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
        items = _items(reply, "projects", "id")
        fresh = seen.fresh(items, "id")
        if items and not fresh:
            raise _incomplete(reply, "projects", seen.count)
        for item in fresh:
            enabled, is_domain = item.get("enabled") is not False, item.get("is_domain") is True
            yield Project(item["id"], _text(item, "name"), enabled, is_domain)
        links = reply.data.get("links")
        following = links.get("next") if isinstance(links, Mapping) else None
        if not items or not isinstance(following, str):
            return
        match = _NEXT_QUERY.fullmatch(following)
        if match is None:
            raise _incomplete(reply, "projects", seen.count)
        query = match[1]  # the host is the server's word, and gets no credential


async def groups(ask: Ask, project_id: str) -> AsyncGenerator[Group, None]:
    """All protection groups of a project (sdrs_05_0402). Raises `ListingError`."""
    names = Group.__slots__

    def page_at(offset: int) -> Listing:
        return groups_page(project_id, offset)

    async with aclosing(_pages(ask, page_at, "server_groups", names)) as pages:
        async for page in pages:
            for item in page:
                yield Group(*(_text(item, name) for name in names))


async def failed_tasks(ask: Ask, project_id: str, server_group_id: str | None) -> AsyncGenerator[FailedTask, None]:
    """All failed tasks inside a group, or without one those of the project's level. Raises `ListingError`.

    Read it to its end before anything of it is deleted: the service pages by offset, so that a deletion in between
    would hide others (sdrs_05_0901).
    """
    names = FailedTask.__slots__

    def page_at(offset: int) -> Listing:
        return failures_page(project_id, server_group_id, offset)

    async with aclosing(_pages(ask, page_at, "failure_jobs", names)) as pages:
        async for page in pages:
            for item in page:
                yield FailedTask(*(_text(item, name) for name in names))


async def _pages(
    ask: Ask, page_at: Callable[[int], Listing], key: str, names: Sequence[str]
) -> AsyncGenerator[list[dict[str, Any]], None]:
    """The items of each page that did not come before, with these of their fields, the first of which is their id.

    An empty page is the last, and so is a short one where `count` agrees with all that came: it alone is no reason to
    stop, since it may be the page's or the whole list's, and a server may have smaller pages than it was asked for. A
    page that brings nothing new comes from a server that ignores the offset.
    """
    seen, received, id_key = _Seen(), 0, names[0]

    def page_from(offset: int) -> asyncio.Future[Reply]:
        page = ask(page_at(offset))
        page.add_done_callback(partial(_slim, key, names))
        return page

    coming = page_from(0)
    while True:
        reply = await coming
        items = _items(reply, key, id_key)
        received += len(items)
        fresh = seen.fresh(items, id_key)
        if items and not fresh:
            raise _incomplete(reply, key, seen.count)
        more = bool(items) and (len(items) >= PAGE or _count(reply) != seen.count)
        if more:
            coming = page_from(received)
        if fresh:
            reply.data = None
            yield fresh
        if not more:
            return


def _slim(key: str, names: Sequence[str], page: asyncio.Future[Reply]) -> None:
    """Drop what is not needed of a page as soon as it is there: that is most of it, and many wait at the same time."""
    data = None if page.cancelled() else page.result().data
    items = data.get(key) if isinstance(data, dict) else None
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict):
            kept = {name: item[name] for name in names if name in item}
            item.clear()
            item.update(kept)


def _items(reply: Reply, key: str, id_key: str) -> list[dict[str, Any]]:
    if reply.verdict is not Verdict.READ:
        raise ListingError(reply.message or str(reply.verdict), reply)
    items = reply.data.get(key)
    if not isinstance(items, list) or any(not isinstance(i, dict) or not _is_id(i.get(id_key)) for i in items):
        message = f"the answer is no list of {key} with a text as {id_key} each"
        raise ListingError(message, replace(reply, verdict=Verdict.REJECTED, message=message, data=None))
    return items


def _is_id(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _count(reply: Reply) -> int:
    count = reply.data.get("count")
    return count if isinstance(count, int) else 0


def _text(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    return one_line(value) if isinstance(value, str) else ""


def _incomplete(reply: Reply, key: str, count: int) -> ListingError:
    message = f"the list of {key} repeats itself after {count:,} of them: the service does not page as it should"
    return ListingError(message, replace(reply, verdict=Verdict.INCOMPLETE, message=message, data=None))


class _Seen:
    """Which ids came already; eight bytes for each, since many lists are read at the same time.

    It keeps hashes: that two ids of one project share one of 2^64 is less likely than a damaged disk.
    """

    __slots__ = ("_pages", "count")

    def __init__(self) -> None:
        self.count = 0
        self._pages: list[array[int]] = []

    def fresh(self, items: list[dict[str, Any]], id_key: str) -> list[dict[str, Any]]:
        """Those items that are new, each once, and from now on known."""
        by_hash = {hash(item[id_key]): item for item in reversed(items)}
        new = {key: item for key, item in by_hash.items() if not self._knows(key)}
        self._pages.append(array("q", sorted(new)))
        self.count += len(new)
        return list(reversed(new.values()))

    def _knows(self, key: int) -> bool:
        for page in self._pages:
            place = bisect_left(page, key)
            if place < len(page) and page[place] == key:
                return True
        return False
