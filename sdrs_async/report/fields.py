"""Reading a JSON object key by key, so that what is wrong is named with its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from sdrs_async.errors import ConfigError, is_whole

_MOST = 10**15
"""No honest count or time is higher, and up to here floats and integers are exact."""

T = TypeVar("T")


class Fields:
    """One JSON object and the path to it. Every reader raises `ConfigError` for a missing key or another type."""

    __slots__ = ("_data", "path")

    def __init__(self, data: object, path: str) -> None:
        if not isinstance(data, Mapping):
            raise ConfigError(f"{path}: must be an object, not {_shown(data)}")
        self._data: Mapping[str, Any] = data
        self.path = path

    def wrong(self, key: str, problem: str) -> ConfigError:
        """The error to raise for a value that has the right type but cannot be."""
        return ConfigError(f"{self.path}.{key}: {problem}")

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def text(self, key: str) -> str:
        """A string."""
        return self._typed(key, str, "a string")

    def flag(self, key: str) -> bool:
        """A boolean."""
        return self._typed(key, bool, "true or false")

    def integer(self, key: str) -> int:
        """A whole number of at least 0."""
        value = self._value(key)
        if not is_whole(value, 0, _MOST):
            raise self.wrong(key, f"must be a whole number from 0 to {_MOST:.0e}, not {_shown(value)}")
        return int(value)

    def number(self, key: str) -> float:
        """A finite number of at least 0, as a float."""
        value = self._value(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MOST:
            raise self.wrong(key, f"must be a number from 0 to {_MOST:.0e}, not {_shown(value)}")
        return float(value)

    def optional(self, read: Callable[[str], T], key: str) -> T | None:
        """What another reader reads, or null."""
        return None if self._value(key) is None else read(key)

    def if_there(self, read: Callable[[str], T], key: str) -> T | None:
        """The same; null when the key is missing."""
        return self.optional(read, key) if key in self else None

    def time(self, key: str) -> datetime:
        """An RFC 3339 time with its zone, in UTC."""
        text = self.text(key)
        try:
            time = datetime.fromisoformat(text)
            if time.tzinfo is not None:
                return time.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        raise self.wrong(key, f"must be a time with its zone, like 2030-01-02T03:04:05Z, not {_shown(text)}")

    def fields(self, key: str) -> Fields:
        """An object inside this one."""
        return Fields(self._value(key), f"{self.path}.{key}")

    def counts(self, key: str) -> dict[str, int]:
        """An object of whole numbers."""
        inner = self.fields(key)
        return {name: inner.integer(name) for name in inner._data}

    def texts(self, key: str) -> list[str]:
        """A list of strings."""
        values = self._typed(key, list, "a list")
        for number, value in enumerate(values):
            if not isinstance(value, str):
                raise self.wrong(f"{key}[{number}]", f"must be a string, not {_shown(value)}")
        return values

    def each(self, key: str) -> Iterator[Fields]:
        """The objects of a list."""
        for number, value in enumerate(self._typed(key, list, "a list")):
            yield Fields(value, f"{self.path}.{key}[{number}]")

    def _value(self, key: str) -> Any:
        if key not in self._data:
            raise self.wrong(key, "is missing")
        return self._data[key]

    def _typed(self, key: str, kind: type[T], wanted: str) -> T:
        value = self._value(key)
        if not isinstance(value, kind):
            raise self.wrong(key, f"must be {wanted}, not {_shown(value)}")
        return value


def rfc3339(moment: datetime, timespec: str = "microseconds") -> str:
    """A time in UTC as RFC 3339 has it; `timespec`: how exactly, as `datetime.isoformat` takes it."""
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def _shown(value: object) -> str:
    text = ascii(value) if isinstance(value, (str, int, float, bool, type(None))) else type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."
