"""Long work on the loop, such as a look at a hundred thousand projects, cut up so that nobody waits for its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import anyio

T = TypeVar("T")

# How many are done in a row, a millisecond or two of work, and the seconds of rest after them. Not as many as a clock
# allows: what runs in virtual time shall do the same each time.
_IN_A_ROW, _REST = 100, 0.002


async def one_by_one(do: Callable[[T], None], items: Iterable[T]) -> None:
    """Do something with each of the items that there are now, and let the loop do all else in between."""
    for number, item in enumerate(list(items), 1):
        do(item)
        if number % _IN_A_ROW == 0:
            await anyio.sleep(_REST)
