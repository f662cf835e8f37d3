"""When a list that comes in pages has ended. Pure decisions.

The service pages by offset, in an order that nobody knows. A server may have smaller pages than it was asked for, and
`count` may be the page's own, so that neither a short page nor a count that is reached is an end. Hence each page is
asked for from the last item that is known:

- it begins with that item, and all else on it is new: the pages join, and nothing has moved past unseen;
- it has that item alone: the list has ended there, unless a `count` told of more;
- it is anything else: the list is in doubt, and is read once more. What a second reading does not clear up is an error.

A first page that is empty and counts none is all of a list. A single item has nothing to join: an empty page after it
is the end where both pages count one, else it is read twice. Nothing is carried over from one list to another.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import NamedTuple

Row = tuple[str, ...]
_CHUNK = 1000

_CHANGED = "changes while it is read"
_REPEATS = "repeats itself: the service does not page as it should"
_SINGLY = "comes one by one"
_OVERLAPS = "has items on more than one page"


class Page(NamedTuple):
    """What is kept of a page: its items, each once and begun by its id, and why others were refused.

    An item goes by its id, one that was refused by its reason. `first` and `last`: what these items go by, `None` of an
    empty page; `size`: items as they came; `total`: the answer's `count`, 0 where that is no number.
    """

    rows: list[Row]
    refused: list[str]
    first: str | None
    last: str | None
    size: int
    total: int

    @property
    def different(self) -> int:
        """How many items it has, each counted once."""
        return len(self.rows) + len(self.refused)

    def holds(self, key: str | None) -> bool:
        """Whether one of its items goes by this."""
        return any(row[0] == key for row in self.rows) or key in self.refused


class Reading:
    """A reading of a list, from its start to its end, by pages of at most `limit` items as far as the server cares.

    `by_count`: a short page that completes the count is the end all the same, for whoever deletes nothing by it.
    `is_over`: no page follows; `doubt`: why it may not be all of the list, from its end on.
    """

    def __init__(self, limit: int, *, by_count: bool = False) -> None:
        self.limit = limit
        self.is_over = False
        self.doubt: str | None = None
        self._by_count = by_count
        self._seen = Seen()
        self._received = 0
        self._widest = 0
        self._last: str | None = None
        self._joins = True
        self._is_one_page = False
        self._count = 0
        self._is_whole_count = False

    @property
    def known(self) -> Seen:
        """All that came of the list so far."""
        return self._seen

    @property
    def offset(self) -> int:
        """Where the next page begins: with the last item that is known, unless pages are of one item each."""
        return self._received - (self._widest > 1)

    def take(self, page: Page) -> Page:
        """The page at `offset` has come: what of it was not known before."""
        fresh = self._seen.unseen(page)
        self._count = max(self._count, page.total)
        self._is_whole_count |= page.total > page.size or page.size > self.limit
        begins_with_last = page.first == self._last and fresh.different == page.different - 1
        self._joins &= begins_with_last or not self._received
        if fresh.different and (page.holds(self._last) or self.offset == self._received):
            self._received, self._last = self.offset + page.size, page.last
            self._widest = max(self._widest, page.size)
            self.is_over = self._by_count and page.size < self.limit and page.total == self._received
        else:
            self.is_over, self.doubt = True, self._doubt(page, fresh)
        return fresh

    def again(self) -> SecondReading | None:
        """The second reading, where this one leaves a doubt."""
        if self.doubt is None:
            return None
        # By a smaller page a server that ignores only the offset is told from one that always gives all.
        return SecondReading(max(1, self._received - 1) if self._is_one_page else self.limit, self._seen)

    def _doubt(self, page: Page, fresh: Page) -> str | None:
        """Why the list may not end with this page, which brought nothing new, or not the last item that is known."""
        if page.size and not fresh.different and (page.size >= self._widest or page.last != self._last):
            self._is_one_page = page.size == self._received
            return _REPEATS
        if page.size and not page.holds(self._last):
            return _CHANGED
        if self._count > self._received:
            return f"ends after {self._received:,} of {self._count:,}, which is its count"
        if self._widest == 1:
            return None if self._received == self._count == page.total == 1 else _SINGLY
        if self._joins:
            return None
        return _OVERLAPS if page.size else _CHANGED


class SecondReading(Reading):
    """A reading of a list that was in doubt, for what is not `known`. What is left in doubt at its end stays so."""

    def __init__(self, limit: int, known: Seen) -> None:
        super().__init__(limit)
        self._known = known
        self._brought_news = False

    @property
    def known(self) -> Seen:
        """All that came of the list in both readings so far."""
        return self._known

    def take(self, page: Page) -> Page:
        """The page at `offset` has come: what of it came in no reading before."""
        new = self._known.unseen(super().take(page))
        self._brought_news |= new.different > 0
        if self._is_cleared_up():
            self.doubt = None
        return new

    def again(self) -> None:
        """It is the last one."""

    def _is_cleared_up(self) -> bool:
        """Whether no doubt is left of a list that repeats items: the second reading brings nothing new.

        Unless they came one by one, its count is to be that of what is known, and the list's, not that of a page.
        """
        if self._brought_news:
            return False
        if self.doubt == _SINGLY:
            return True
        known = self._known.count
        is_all = self._count == known and (self._is_whole_count or known == 1)
        return is_all and (self.doubt == _REPEATS or (self.doubt == _OVERLAPS and self._seen.count == known))


class Seen:
    """Which keys came already: of each its hash, in eight bytes, since many lists are read at the same time."""

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
    return hashed in hashes[(place := bisect_left(hashes, hashed)) : place + 1]
