"""Ids that look random, are the same for the same seed, and lead back to their number without a table."""

from __future__ import annotations

from hashlib import blake2b

_MASK = (1 << 128) - 1


def digest(seed: int, name: str, size: int = 16) -> str:
    """`2 * size` lowercase hex digits, one value for each seed and name."""
    return blake2b(f"{seed}/{name}".encode(), digest_size=size).hexdigest()


def dashed(text: str) -> str:
    """32 hex digits in the form of a UUID."""
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Numbered:
    """The ids of `count` things of one kind: 32 hex digits, each a 128-bit number that steps by an odd constant.

    An odd step visits every number once and can be undone, so that 450,000 groups cost neither time nor memory.
    """

    def __init__(self, seed: int, kind: str, count: int) -> None:
        self.count = count
        self._first = int(digest(seed, f"{kind}/first"), 16)
        self._step = int(digest(seed, f"{kind}/step"), 16) | 1
        self._back = pow(self._step, -1, _MASK + 1)

    def id_of(self, number: int) -> str:
        """The id of a thing, 0 <= `number` < `count`."""
        return f"{(self._first + number * self._step) & _MASK:032x}"

    def number_of(self, text: str) -> int | None:
        """The number of the thing with exactly this id, `None` when there is none."""
        try:
            value = int(text, 16)
        except ValueError:
            return None
        number = ((value - self._first) * self._back) & _MASK
        return number if number < self.count and self.id_of(number) == text else None
