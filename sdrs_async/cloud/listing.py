"""Reading the lists of the service: projects, protection groups, failed tasks. A page ahead at most.

What asks for a page is handed in, so that each takes its turn under the same limits as a deletion. Ids and names are
kept exactly as they came, since one that was tidied up may be another one's: whoever shows a name makes it printable.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any, NamedTuple, TypeVar

from sdrs_async.cloud.answers import one_line, visible
from sdrs_async.cloud.calls import PAGE, check_id, failures_page, groups_page, projects_page
from sdrs_async.cloud.pages import Page, Reading, Row
from sdrs_async.errors import ConfigError, SdrsError
from sdrs_async.models import Listing, Reply, Verdict


class ListingError(SdrsError):
    """A list could not be read, or not to its end; what came before is good. `reply`: the answer that was the last."""

    def __init__(self, message: str, reply: Reply) -> None:
        super().__init__(message)
        self.reply = reply

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.reply), self.__dict__  # by `args` alone a copy would lack the reply


log = logging.getLogger("sdrs_async")

T = TypeVar("T")
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
_DIGITS = re.compile(r"[0-9]{1,18}")
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
        if self.doubt is not None or self.is_domain:
            return self.doubt or "a domain, no project"
        if not self.enabled or self.name == _PSEUDO_PROJECT:
            return "object storage only" if self.enabled else "disabled"
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


def projects(ask: Ask) -> AsyncGenerator[Project, None]:
    """All projects that the account may use, once all are read: the last may contradict. Raises `ListingError`."""
    return _at_its_end(_projects(ask))


async def _at_its_end(items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The items of a list once it has been read, also of one that ends in an error, which comes after them."""
    found: list[T] = []
    error: ListingError | None = None
    try:
        async with aclosing(items):
            async for item in items:
                found.append(item)  # noqa: PERF401 - what came before an error is good, and has to be kept
    except ListingError as incomplete:
        error = incomplete
    for item in found:
        yield item
    if error is not None:
        raise error


async def _projects(ask: Ask) -> AsyncGenerator[Project, None]:
    found: dict[str | Project, Project] = {}
    query = ""
    for page in count(1):
        reply = await ask(projects_page(query))
        items = _items(reply, "projects")
        if items is None:
            raise _no_list(reply, "projects")
        known = len(found)
        for project in map(_project, items):
            first = found.setdefault(project.id or project, project)
            if first is project:
                yield project
            elif first != project:
                raise _error(reply, Verdict.INCOMPLETE, _contradicted(first, project))
        # Some name a next page for ever: an empty one is the last, but the first has to say that it is.
        following = _following(reply) if items or not found else None
        if doubt := _doubt(reply, following, known, len(found), page):
            raise _error(reply, Verdict.INCOMPLETE, f"the list of projects {doubt}")
        if following is None:
            return
        query = following


def _doubt(reply: Reply, query: str | None, known: int, count: int, pages: int) -> str | None:
    """Why the list of projects cannot be whole; `known`: of them before this page, `count`: with it."""
    if query is None:
        is_cut_off = reply.data.get("truncated") not in (None, False)  # Keystone's, where it has a limit
        return f"is cut off after {count:,} of them: the service says that it is truncated" if is_cut_off else None
    if not query or count == known:
        return f"repeats itself after {count:,} of them: the service does not page as it should"
    if count >= _MOST_PROJECTS or pages >= _MOST_PAGES:
        return f"goes on after {count:,} of them on {pages:,} pages: no account has so many"
    return None


def _following(reply: Reply) -> str | None:
    """The query of the next page, whose host gets no credential; `None` for no page, empty for one of no use."""
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
    unclear = [(name, flag) for name, flag in flags.items() if not isinstance(flag, bool | None)]
    return f"{unclear[0][0]} is neither true nor false: {ascii(unclear[0][1])[:80]}" if unclear else None


def groups(ask: Ask, project_id: str, *, by_count: bool = False) -> AsyncGenerator[Group, None]:
    """All protection groups of a project (sdrs_05_0402). Raises `ListingError`.

    `by_count`: take the server's count for the end, which spares a request, but is not to be deleted by.
    """
    wanted = _List("server_groups", Group.__slots__, by_count=by_count)
    return _rows(ask, partial(groups_page, project_id), wanted, Group)


def group_ids(ask: Ask, project_id: str, limit: int = PAGE) -> AsyncGenerator[str, None]:
    """The ids of all protection groups of a project, so many to a page; otherwise as `groups`."""
    return _rows(ask, partial(groups_page, project_id), _List("server_groups", ("id",), limit), str)


def failed_tasks(ask: Ask, project_id: str, server_group_id: str | None) -> AsyncGenerator[FailedTask, None]:
    """All failed tasks inside a group, or without one those of the project's level. Raises `ListingError`.

    They come once the list is read: it has pages by offset, so that a deletion in between would hide others.
    """
    page_at = partial(failures_page, project_id, server_group_id)
    return _at_its_end(_rows(ask, page_at, _List("failure_jobs", FailedTask.__slots__), FailedTask))


class _List(NamedTuple):
    """Where a list is in an answer, which fields of its items are wanted, their id first, and how many to a page."""

    key: str
    names: Sequence[str]
    limit: int = PAGE
    by_count: bool = False


async def _rows(
    ask: Ask, page_at: Callable[[int, int], Listing], wanted: _List, make: Callable[..., T]
) -> AsyncGenerator[T, None]:
    """What is made of the items of all pages, each once.

    Where the list may not be whole (`pages`), it is read once more for what was not seen; what stays in doubt raises.
    """
    refused, reading = _Refused(), Reading(wanted.limit, by_count=wanted.by_count)
    following: Reading | None = reading
    while following is not None:
        reading = following
        async with aclosing(_pages(ask, page_at, wanted, reading, refused)) as pages:
            async for came in pages:
                reply, page = came
                for row in page.rows:
                    yield make(*row)
        following = reading.again()
        if following is not None:
            project_id, why = page_at(0, 1).project_id, reading.doubt
            log.info("project %s: the list of %s %s: it is read once more", project_id, wanted.key, why)
    if reading.doubt is not None or refused.count:
        raise _error_of(reply, wanted.key, reading, refused)


async def _pages(
    ask: Ask, page_at: Callable[[int, int], Listing], wanted: _List, reading: Reading, refused: _Refused
) -> AsyncGenerator[tuple[Reply, Page], None]:
    """What is new on each page of one reading, with its reply. The next page is asked for before it is handed out."""

    def next_page() -> asyncio.Future[Reply]:
        coming = ask(page_at(reading.offset, reading.limit))
        coming.add_done_callback(partial(_cut_down, wanted))
        return coming

    coming: asyncio.Future[Reply] | None = next_page()
    while coming is not None:
        reply = await coming
        _cut_down(wanted, coming)  # one that was there at once
        if not isinstance(reply.data, Page):
            raise _no_list(reply, wanted.key, refused.told(wanted.key))
        fresh, reply = reading.take(reply.data), replace(reply, data=None)
        refused.add(fresh.refused)
        coming = None if reading.is_over else next_page()
        yield reply, fresh


@dataclass(slots=True)
class _Refused:
    """How many items of a list have no id that can be used, and why the first of them have not."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, reasons: Sequence[str]) -> None:
        """Count some more."""
        self.count += len(reasons)
        self.first += reasons[: _REASONS - len(self.first)]

    def told(self, key: str) -> str:
        """What an error says of them; empty where there are none."""
        items = "an item" if self.count == 1 else f"{self.count:,} items"
        reasons = "; ".join([*self.first, *["..."] * (self.count > len(self.first))])
        text = f"the list of {key} has {items} for which nothing was sent, the others are good: {reasons}"
        return text if self.count else ""


def _cut_down(wanted: _List, coming: asyncio.Future[Reply]) -> None:
    """Keep what is wanted of a page as soon as it is there: that is little of it, and many pages wait for long."""
    if not coming.cancelled() and _items(coming.result(), wanted.key) is not None:
        coming.result().condense(partial(_page, wanted))


def _page(wanted: _List, data: Mapping[str, Any]) -> Page:
    rows: dict[str, Row] = {}
    refused: dict[str, None] = {}
    keys: list[str] = []
    for item in data[wanted.key]:
        if (reason := _refusal(wanted.names[0], item)) is None:
            row = tuple(_text(item, name) for name in wanted.names)
            rows.setdefault(row[0], row)
            keys.append(row[0])
        else:
            refused[reason] = None
            keys.append(reason)
    first, last = (keys[0], keys[-1]) if keys else (None, None)
    return Page(list(rows.values()), list(refused), first, last, len(keys), _number(data.get("count")))


def _number(count: object) -> int:
    if isinstance(count, str) and _DIGITS.fullmatch(count):
        return int(count)
    return count if isinstance(count, int) and not isinstance(count, bool) else 0


def _items(reply: Reply, key: str) -> list[dict[str, Any]] | None:
    """The items of an answer; `None` where it is no such list."""
    items = reply.data.get(key) if reply.verdict is Verdict.READ and isinstance(reply.data, dict) else None
    return items if isinstance(items, list) and all(isinstance(item, dict) for item in items) else None


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


def _no_list(reply: Reply, key: str, refused: str = "") -> ListingError:
    if reply.verdict is Verdict.READ:
        return _error(reply, Verdict.REJECTED, f"the answer is no list of {key}", refused)
    return _error(reply, reply.verdict, reply.message or str(reply.verdict), refused)


def _error_of(reply: Reply, key: str, reading: Reading, refused: _Refused) -> ListingError:
    """Why a list that was read to its end, as far as there was one, is not all good."""
    if reading.doubt is None:
        return _error(reply, Verdict.REJECTED, refused.told(key))
    seen = f"{reading.known.count:,} were seen"
    doubt = f"the list of {key} {reading.doubt}, also when it is read once more; {seen}"
    return _error(reply, Verdict.INCOMPLETE, doubt, refused.told(key))


def _contradicted(first: Project, again: Project) -> str:
    one, other = ascii(first.name)[:80], ascii(again.name)[:80]
    names = f"as {one} and as {other}" if first.name != again.name else "differently"
    return f"the list of projects has {ascii(first.id)[:80]} twice, {names}: which ones are meant cannot be told"


def _error(reply: Reply, verdict: Verdict, *reasons: str) -> ListingError:
    message = "; and ".join(filter(None, reasons))
    return ListingError(message, replace(reply, verdict=verdict, message=message, data=None))
