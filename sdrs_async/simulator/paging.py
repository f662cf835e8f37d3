"""Which page of a list is given out: the one that was asked for, or one with a quirk that a client must survive."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sdrs_async.simulator.answers import Answer, sdrs_error

QUIRKS = ("wrong-count", "zero-count", "page-count", "repeats", "ignores-offset", "small-pages", "shrinks")
_BAD_LIMIT = sdrs_error("SDRS.0221", "The value of limit must be more than 0 and less than 1000.")
_BAD_OFFSET = sdrs_error("SDRS.0222", "The value of offset must be 0 or more.")
_SMALL = 100
_REPEATED = 3


class Paging:
    """Cuts lists into pages. `ValueError` for a quirk that is not one of these.

    `wrong-count`: it says 1,000,000; `zero-count`: it says 0; `page-count`: it says how many are on the page;
    `repeats`: a further page begins with the last 3 of the one before, and nothing is missing; `ignores-offset`: each
    page is the first; `small-pages`: none has more than 100, whatever the limit; `shrinks`: a further page begins one
    item late, as where one before it was deleted meanwhile.
    """

    def __init__(self, quirks: Collection[str] = ()) -> None:
        unknown = set(quirks) - set(QUIRKS)
        if unknown:
            raise ValueError(f"quirk {min(unknown)!r} is not known: use {', '.join(QUIRKS)}")
        self._quirks = frozenset(quirks)

    def count(self, right: int, on_page: int) -> int:
        """What the answer says for a list's count."""
        if "zero-count" in self._quirks:
            return 0
        if "page-count" in self._quirks:
            return on_page
        return 1_000_000 if "wrong-count" in self._quirks else right

    def window(self, wanted: Mapping[str, str]) -> slice | Answer:
        """The page that a query gets, or the answer that refuses the query.

        A limit of 1000 is taken as the text of the manual does, not as its error message.
        """
        limit, offset = _number(wanted.get("limit", "1000")), _number(wanted.get("offset", "0"))
        if limit is None or not 1 <= limit <= 1000:
            return _BAD_LIMIT
        if offset is None:
            return _BAD_OFFSET
        if "small-pages" in self._quirks:
            limit = min(limit, _SMALL)
        if "ignores-offset" in self._quirks:
            offset = 0
        if "shrinks" in self._quirks and offset:
            offset += 1
        if "repeats" in self._quirks:
            # What was repeated has taken room too. At most half a page: whoever counts what is new goes on as well.
            offset -= min(_REPEATED * (offset // limit), limit // 2)
        return slice(offset, offset + limit)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() else None
