"""Whether a list that comes in pages has been read to its end. Pure decisions, but for who waits for whom.

The service pages by offset, in an order that nobody knows, and what `count` counts is written for the groups only; a
server may have smaller pages than it was asked for. So a page is asked for from the last item that is known: where it
does not bring that one, the list has changed, and others may have moved past unseen. The end is an item that nothing
follows, or, where counts are known to be those of whole lists, one that is the last by its count.
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_left
from enum import Enum, auto
from typing import NamedTuple

__all__ = ["CHANGED", "Counts", "Page", "Reading", "Row", "Seen", "Step"]

Row = tuple[str, ...]
_CHUNK = 1000

CHANGED = "changes while it is read"
"""Why a list is in doubt whose pages do not join."""
_REPEATS = "repeats itself: the service does not page as it should"


class Page(NamedTuple):
    """What is kept of a page: its items, by their ids, and why others were refused, which is what those are known by.

    `last`: what the last of all is known by, `None` of an empty page; `total`: the answer's `count`, `None` where
    that is no whole number.
    """

    rows: list[Row]
    refused: list[str]
    last: str | None
    total: int | None

    @property
    def size(self) -> int:
        """How many items the server counted."""
        return len(self.rows) + len(self.refused)

    def holds(self, key: str | None) -> bool:
        """Whether one of its items is known by this."""
        return any(row[0] == key for row in self.rows) or key in self.refused


class Step(Enum):
    """What comes after a page: more, or nothing, or nothing if counts are totals."""

    MORE = auto()
    END = auto()
    END_BY_COUNT = auto()


class Counts:
    """What one kind of list at one endpoint has shown: whether `count` is that of the whole list; its largest page.

    One list finds out, with one request, for all the others; those which depend on it wait for that answer. Who wants
    no such request says at once that they `are_totals`, which the manual says of groups.
    """

    __slots__ = ("_news", "are_totals", "widest")

    def __init__(self, *, are_totals: bool | None = None) -> None:
        self.are_totals = are_totals
        self.widest = 0
        self._news: asyncio.Event | None = None

    def claim(self) -> bool:
        """Whether it falls to the caller to find out: by one more page, of which it tells `learn`."""
        if self.are_totals is not None or self._news is not None:
            return False
        self._news = asyncio.Event()
        return True

    def learn(self, evidence: bool | None) -> None:
        """What the page of who claimed it has shown."""
        self.note(evidence)
        if self._news is not None:
            self._news.set()
            self._news = None

    def note(self, evidence: bool | None) -> None:
        """What any page has shown; one that contradicts goes before all that agree."""
        if evidence is not None and self.are_totals is not False:
            self.are_totals = evidence

    async def settled(self) -> bool:
        """Whether they are totals, as soon as that is known; `False` also where the caller has claimed to find out."""
        while self.are_totals is None and not self.claim():
            if self._news is not None:
                await self._news.wait()
        return bool(self.are_totals)


class Reading:
    """One reading of a list, from its start to its end. `doubt`: why it may not be all of it, from its end on.

    `seen`: what came in it; `is_one_page`: in doubt because the only page came again, and all the same its count says
    that this is all. `limit`: items of a page, as they are asked for.
    """

    def __init__(self, limit: int, counts: Counts) -> None:
        self.doubt: str | None = None
        self.is_one_page = False
        self._limit = limit
        self._counts = counts
        self.seen = Seen()
        self._received = 0
        self._widest = 0
        self._last: str | None = None
        self._count: int | None = None

    @property
    def offset(self) -> int:
        """Where the next page begins: with the last item that is known, unless pages are of one item each."""
        return self._received - (self._widest > 1)

    @property
    def is_loose(self) -> bool:
        """Whether its pages are of one item each: then they do not join, and a change shows only in another reading."""
        is_all = self._counts.widest > 1 or (self._counts.are_totals and self._count == 1)
        return self._widest == 1 and not (self._received == 1 and is_all)

    def evidence(self, page: Page) -> bool | None:
        """What a page at `offset`, not taken yet, tells of counts: only a later page sets apart its own and the list's.

        `None`: nothing.
        """
        if not self._received:
            return None
        reach = self.offset + page.size
        if page.size == 0 if self._widest == 1 else (page.size == 1 and page.last == self._last):
            return page.total == reach
        return False if page.total == page.size != reach else None

    def take(self, page: Page) -> tuple[Step, Page]:
        """The page at `offset` has come: what is to follow, and what of it did not come before in this reading."""
        fresh = self.seen.unseen(page)
        return self._step(page, fresh.size), fresh

    def _step(self, page: Page, news: int) -> Step:
        joins = self.offset < self._received
        if joins and not page.holds(self._last):
            return self._end((None if page.size else self._missing(page)) or CHANGED)
        if not news:
            is_end = page.size == 0 or (joins and page.last == self._last and page.size < self._widest)
            self.is_one_page = not is_end and page.total == page.size == self._received < self._limit
            return self._end(self._missing(page) if is_end else _REPEATS)
        self._received, self._last, self._count = self.offset + page.size, page.last, page.total
        self._widest = max(self._widest, page.size)
        return Step.END_BY_COUNT if page.size < self._limit and page.total == self._received else Step.MORE

    def _missing(self, page: Page) -> str | None:
        if page.total is None or page.total <= self._received:
            return None
        return f"ends after {self._received:,} of {page.total:,}, which is its count"

    def _end(self, doubt: str | None) -> Step:
        self.doubt = doubt
        return Step.END


class Seen:
    """Which keys came already; eight bytes for each, since many lists are read at the same time.

    It keeps hashes: that two ids of one project share one of 2^64 is less likely than a damaged disk.
    """

    __slots__ = ("_latest", "_sorted", "count")

    def __init__(self) -> None:
        self.count = 0
        self._latest: set[int] = set()
        self._sorted: list[array[int]] = []

    def unseen(self, page: Page) -> Page:
        """What of a page did not come before; from now on it did."""
        rows = [row for row in page.rows if self._is_new(row[0])]
        return page._replace(rows=rows, refused=[reason for reason in page.refused if self._is_new(reason)])

    def _is_new(self, key: str) -> bool:
        hashed = hash(key)
        if hashed in self._latest or any(_holds(hashes, hashed) for hashes in self._sorted):
            return False
        self._latest.add(hashed)
        self.count += 1
        if len(self._latest) >= _CHUNK:
            self._sorted.append(array("q", sorted(self._latest)))
            self._latest = set()
        return True


def _holds(hashes: array[int], hashed: int) -> bool:
    place = bisect_left(hashes, hashed)
    return place < len(hashes) and hashes[place] == hashed
