"""Everything that can stop a run, as one tree.

    SdrsError
    ├── ConfigError           bad usage, configuration or input; nothing more is sent (exit code 2)
    ├── AuthenticationError   no account could sign in (exit code 3)
    ├── ListingError          a list could not be read, or not to its end
    └── JournalError          the journal cannot be used (exit code 2)

One target's failure is never an exception: it is an `Outcome` with its verdict.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import NoneType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdrs_async.report import Report


class SdrsError(Exception):
    """Base of all errors that stop a run. `report` holds what was done before, `None` if nothing had started."""

    def __init__(self, message: str, *, report: Report | None = None) -> None:
        super().__init__(message)
        self.report = report

    @staticmethod
    def carry(error: BaseException, report: Report) -> None:
        """Let an error, whoever raised it, tell what was done before it."""
        with suppress(AttributeError, TypeError):  # few exceptions take no further attribute
            error.report = report  # type: ignore[attr-defined]  # `SdrsError` has it, others get it


class ConfigError(SdrsError):
    """Usage, configuration or input is wrong; the message names the place and what to do."""


class AuthenticationError(SdrsError):
    """No account could sign in; `report` counts what was refused and what was skipped."""


class JournalError(SdrsError):
    """The journal is in use, damaged or of another run."""


_NAMES: Mapping[type, str] = {str: "text", os.PathLike: "a path", bool: "True or False", NoneType: "None"}


def check(holds: bool, name: str, wanted: str, given: object, *, secret: bool = False) -> None:
    """Raise `ConfigError` unless it `holds`: the argument's name, what is wanted, and the start of what was given.

    `secret`: what was given may hold one, so nothing of it is shown but its type.
    """
    if not holds:
        text = _type(given) if secret else repr(given)
        raise ConfigError(f"{name} must be {wanted}, not {text if len(text) <= 80 else f'{text[:77]}...'}")


def check_types(given: object, **wanted: tuple[type, ...]) -> None:
    """Raise `ConfigError` for an attribute of `given` that is of none of the types that stand beside its name."""
    for name, types in wanted.items():
        value = getattr(given, name)
        check(isinstance(value, types), name, " or ".join(_NAMES[one] for one in types), value)


def is_whole(value: object, least: int = 1, most: float = math.inf) -> bool:
    """Whether it is a whole number between two others. `True` is none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_time(value: object) -> bool:
    """Whether it is a number of seconds above 0, and not for ever."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= sys.float_info.max


def _type(given: object) -> str:
    if given is None:
        return "None"
    return f"the class {given.__name__} itself" if isinstance(given, type) else f"of type {type(given).__name__}"


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Name the place before the message of a `ConfigError` that the block raises, unless the message begins with it."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{place}: {str(error).removeprefix(f'{place}: ')}") from None


@contextmanager
def single_error() -> Iterator[None]:
    """Let an exception group of one member out as that member: callers catch `ConfigError`, not a group of it."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if error is group:
            raise
        raise error from error.__cause__
