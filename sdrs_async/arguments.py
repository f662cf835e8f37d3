"""What a caller hands in, checked before it is used: one sentence for whatever it should not be."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from types import NoneType

from sdrs_async.errors import ConfigError

__all__ = ["check", "check_types", "is_text", "is_time", "is_whole"]

_SHOWN = 80
_NAMES: Mapping[type, str] = {str: "text", os.PathLike: "a path", bool: "True or False", NoneType: "None"}


def check(holds: bool, name: str, wanted: str, given: object, *, secret: bool = False) -> None:
    """Raise `ConfigError` unless it `holds`: the argument's name, what is wanted, and the start of what was given.

    `secret`: what was given may hold one, so nothing of it is shown but its type.
    """
    if not holds:
        raise ConfigError(f"{name} must be {wanted}, not {_type(given) if secret else _start(given)}")


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


def is_text(value: object) -> bool:
    """Whether it is text, and not empty."""
    return isinstance(value, str) and bool(value)


def _type(given: object) -> str:
    if given is None:
        return "None"
    return f"the class {given.__name__} itself" if isinstance(given, type) else f"of type {type(given).__name__}"


def _start(given: object) -> str:
    text = repr(given)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
