"""What files and variables say of a cloud, value by value with the place where it stands, before the SDK gets them.

YAML makes numbers, dates and truth of words without quotes, and the SDK makes words of these again, spelled its way.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any, NamedTuple

from sdrs_async.errors import ConfigError

# All but the tab; a lone half of a surrogate stands for a byte that is no UTF-8.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_UNDECODED = re.compile(r"[\ud800-\udfff]")
# The SDK knows each of these by more names.
_OTHER_NAMES = {"project_id": "tenant_id", "project_name": "tenant_name", "token": "auth_token"}
_KINDS: dict[type, str] = {
    **{bool: "true or false", int: "a number", float: "a number", date: "a date", datetime: "a date"},
    **{list: "a list", dict: "a mapping"},
}
_NO_VALUE = "a value without quotes looks like a date or a number and is none: put it in quotes"
_LISTS = {"auth_methods", "roles", "region_name"}

Place = tuple[str | int, ...]


class Layer(NamedTuple):
    """Settings that lie over those of the layers before: in a file, under these keys, or, without a file, variables."""

    data: Mapping[Any, Any]
    file: str | None = None
    place: Place = ()

    def __repr__(self) -> str:
        return f"Layer({self.file}, {self.place})"

    def spelled(self, place: Place) -> str:
        """The place of a value in this layer, in words."""
        if self.file is None:
            return f"OS_{place[-1]}".upper()
        whole = (*self.place, *place)
        dotted = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in whole).removeprefix(".")
        line = _line(self.file, whole)
        return f"{dotted} in {self.file}{f', line {line}' if line else ''}"


# ---- files ----------------------------------------------------------------------------------------------------------


def chosen_file(usual: Iterable[str], variable: str | None = None) -> str | None:
    """The file that a variable names, else the first of the usual ones that there is and may be read.

    Raises `ConfigError` where the variable names none that can be read: no other is taken in its place.
    """
    named = os.environ.get(variable, "") if variable else ""
    if not named.strip():
        return next((path for path in usual if os.path.isfile(path) and os.access(path, os.R_OK)), None)
    if not os.path.exists(named) or os.path.isdir(named) or not os.access(named, os.R_OK):
        raise ConfigError(f"{variable} names no file that can be read: {named!r}")
    return named


def read(path: str | None) -> dict[Any, Any]:
    """What a file holds, nothing without one. Raises `ConfigError` with the place, which shows nothing of it."""
    import yaml

    if path is None:
        return {}
    try:
        data = json.loads(_text(path)) if path.endswith("json") else _of_yaml(_text(path))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else getattr(error, "lineno", None)
        is_value = getattr(error, "problem", None) == _NO_VALUE
        what = _NO_VALUE if is_value else "this is not valid YAML or JSON"
        raise ConfigError(f"{path}{f', line {line}' if line else ''}: {what}") from None
    return data if isinstance(data, dict) else {}


def _of_yaml(text: str) -> Any:
    """As `yaml.safe_load`, which does not say where a value stands that it can make nothing of."""
    import yaml

    loader = yaml.SafeLoader(text)
    construct = loader.construct_object

    def construct_object(node: Any, deep: bool = False) -> Any:
        try:
            return construct(node, deep)
        except ValueError:
            raise yaml.MarkedYAMLError(problem=_NO_VALUE, problem_mark=node.start_mark) from None

    loader.construct_object = construct_object
    return loader.get_single_data()


def _text(path: str) -> str:
    is_pipe = path.startswith("/dev/fd/")  # what a shell makes of `<(command)`: it is empty the second time
    return _text_of_pipe(path, os.stat(path).st_ino) if is_pipe else Path(path).read_text("utf-8")


@lru_cache(4)
def _text_of_pipe(path: str, number: int) -> str:
    return Path(path).read_text("utf-8")


def _line(path: str, place: Place) -> int | None:
    """Where a value stands, where that can be said: what is merged in from elsewhere has no line of its own."""
    import yaml

    try:
        node = yaml.compose(_text(path) if os.path.isfile(path) else "", yaml.SafeLoader)
        for step in place:
            pairs = enumerate(node.value) if isinstance(step, int) else ((key.value, one) for key, one in node.value)
            node = next(one for key, one in pairs if key == step)
    except (OSError, ValueError, TypeError, AttributeError, StopIteration, RecursionError, yaml.YAMLError):
        return None
    return int(node.start_mark.line) + 1


# ---- what they hold -------------------------------------------------------------------------------------------------


def as_written(layers: Iterable[Layer]) -> dict[Any, Any]:
    """The settings of all layers. What is empty or blank counts as not given."""
    return reduce(_laid_over, (_given(layer.data) for layer in layers), {})


def merged(layers: Iterable[Layer]) -> dict[Any, Any]:
    """The same with underscores in all keys, for which dashes may be written."""
    renamed: dict[Any, Any] = _renamed(as_written(layers))
    return renamed


def _given(value: Any) -> Any:
    if isinstance(value, list):
        return [_given(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    return {key: _given(one) for key, one in value.items() if one is not None and str(one).strip()}


def _renamed(value: Any) -> Any:
    if isinstance(value, list):
        return [_renamed(one) for one in value]
    return {_name(key): _renamed(one) for key, one in value.items()} if isinstance(value, dict) else value


def _name(key: Any) -> Any:
    return key.replace("-", "_") if isinstance(key, str) else key


def _laid_over(below: dict[Any, Any], above: dict[Any, Any]) -> dict[Any, Any]:
    both = {
        key: _laid_over(below[key], value)
        for key, value in above.items()
        if isinstance(value, dict) and isinstance(below.get(key), dict)
    }
    return {**below, **above, **both}


def refuse_other_than_text(layers: Iterable[Layer], names: Iterable[str]) -> None:
    """Raise `ConfigError` for a setting of these names that has lost its spelling, or never was one line of text."""
    wanted = {*names}
    wanted |= {other for name, other in _OTHER_NAMES.items() if name in wanted}
    for layer in layers:
        for place, value in _values(layer.data, wanted):
            for one in value if isinstance(value, list) and _name(place[-1]) in _LISTS else (value,):
                if wrong := wrong_text(one):
                    raise ConfigError(f"{layer.spelled(place)} {wrong}")


def _values(data: Mapping[Any, Any], names: set[str]) -> Iterator[tuple[Place, Any]]:
    """The settings of these names, wherever in a cloud the SDK looks for them."""
    for key, value in data.items():
        if _name(key) in names:
            yield (key,), value
        elif key in ("auth", "values") and isinstance(value, Mapping):
            yield from (((key, *place), one) for place, one in _values(value, names))
        elif key == "regions" and isinstance(value, list):
            for number, entry in enumerate(value):
                if isinstance(entry, Mapping):
                    yield from (((key, number, *place), one) for place, one in _values(entry, names))


def place_of_nothing(layers: Iterable[Layer], name: str) -> str | None:
    """Where a setting stands that has no value, as `null` or `~` without quotes has none."""
    found = ((layer, place) for layer in layers for place, value in _values(layer.data, {name}) if value is None)
    return next((layer.spelled(place) for layer, place in found), None)


def wrong_text(value: Any) -> str | None:
    """Why a value cannot be sent as it was written, in words that do not show it; `None`: it can, or there is none."""
    if value is None:
        return None
    if not isinstance(value, str):
        what = _KINDS.get(type(value), "something other than text")
        return f"is read as {what}, so its spelling is lost: put it in quotes"
    if value.endswith("\r"):
        return "ends in a carriage return: the file it comes from has Windows line ends"
    if _CONTROL.search(value):
        return "holds a line end or another control character: it has to be one line of text"
    return "is not UTF-8" if _UNDECODED.search(value) else None
