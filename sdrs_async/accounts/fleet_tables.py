"""The tables of a fleet file: types checked by msgspec, whose messages hold no value of these, then each value."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from sdrs_async.accounts import sources
from sdrs_async.accounts.fleet_places import KeyPath, Wrong
from sdrs_async.cloud.regions import check_region
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Rate

T = TypeVar("T", bound=msgspec.Struct)
Reader = Callable[[Any], Any]
"""Makes of a value as it is written what it means. Raises `ConfigError`."""

_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_WORDS = {"object": "table", "array": "list", "str": "string", "int": "integer", "bool": "boolean"}
_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b")
_INDEX = re.compile(r"\[(\d+|\.\.\.)\]")
# Stricter than the shells: the name of a variable is shown, so a secret pasted in its place must not look like one.
# Keys have no underscore and mixed case, tokens are longer.
_VARIABLE = re.compile(r"(?!\d)(?:[A-Z\d_]{1,64}|(?=[^_]*_)\w{1,64})", re.ASCII)


class Table(msgspec.Struct, forbid_unknown_fields=True):
    """A key that is left out is `None`, and one that is unknown an error. No enums: their messages show the value."""


def _parts(key: str) -> dict[str, Field[Any]]:
    """The parts of a credential by the keys that they stand under: the credential's own where it has only one."""
    parts = fields(sources.REFERENCES[key])
    return {key: parts[0]} if len(parts) == 1 else {part.name: part for part in parts}


def _reference(key: str) -> Any:
    """What stands under the key of a credential: a text, or a table where it has more than one part."""
    parts = _parts(key)
    written = [(name, str) if one.default is MISSING else (name, str | None, None) for name, one in parts.items()]
    return str if key in parts else msgspec.defstruct(key, written, bases=(Table,))


_REFERENCES = {key: _reference(key) for key in sources.REFERENCES}
_KEYS = [(key, one | None, None) for key, one in _REFERENCES.items()]
Credential = msgspec.defstruct("Credential", _KEYS, bases=(Table,))  # exactly one of its keys is given


class Limits(Table):
    """`limits` of an account or of the defaults. Rates are read by `Rate`, which knows what to say."""

    project_rate: Any = None
    project_concurrency: int | str | None = None
    user_rate: Any = None
    endpoint_rate: Any = None


class WholeLimits(Table):
    """The top `limits`: what holds over all accounts."""

    concurrency: int | str | None = None


class Shared(Table):
    """`defaults`, and what an account has in common with them."""

    region: str | None = None
    endpoint: str | None = None
    iam_endpoint: str | None = None
    ca_file: str | None = None
    allow_http: bool | None = None
    projects: str | list[str] | None = None
    project_level: bool | None = None
    weight: int | None = None
    limits: Limits | None = None


class Account(Shared):
    """One of `accounts`."""

    credential: Any = None


class File(Table):
    """The whole, whose tables are checked one by one, so that each can have its error and its name in it."""

    defaults: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    accounts: dict[str, Any] = {}


# The tables within tables, for the keys that they know.
_WITHIN = {"limits": Limits, **{key: one for key, one in _REFERENCES.items() if one is not str}}


def table(kind: type[T], value: Any, path: KeyPath) -> T:
    """The table at `path`. Raises `Wrong` with the key that does not fit."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        text, _, at = str(error).partition(" - at `$")
        inner = tuple(_INDEX.sub("", at.removesuffix("`")).strip(".").split(".")) if at else ()
        raise _wrong(text, (*path, *filter(None, inner)), _WITHIN.get(inner[-1], kind) if inner else kind) from None


def _given(written: msgspec.Struct) -> dict[str, Any]:
    """What a table sets, as it is written, by its keys."""
    return {key: value for key in written.__struct_fields__ if (value := getattr(written, key)) is not None}


def settings(written: msgspec.Struct, path: KeyPath, folder: Path) -> dict[str, Any]:
    """What a table sets, by its keys, and what the tables within it do; files are relative to the folder.

    `projects` is `None` for all of them. Raises `Wrong`.
    """
    readers = _readers(folder)
    return {
        key: settings(value, (*path, key), folder)
        if isinstance(value, msgspec.Struct)
        else checked(readers.get(key), value, (*path, key))
        for key, value in _given(written).items()
    }


def checked(read: Reader | None, value: Any, path: KeyPath) -> Any:
    """What is read of a value, the value itself where nothing is to be. Raises `Wrong` with its key."""
    try:
        return read(value) if read is not None else value
    except ConfigError as error:
        raise Wrong(path, str(error)) from None


def credential(written: object, path: KeyPath, folder: Path) -> sources.Credential:
    """The one source that is named. Raises `Wrong`."""
    named = table(Credential, {} if written is None else written, path)
    if not (keys := _given(named)):
        raise Wrong(path, f"a source is missing: it is one of {', '.join(map(_example, sources.REFERENCES))}")
    if len(keys) > 1:
        raise Wrong(path, f"has {' and '.join(keys)}: name one source")
    ((key, value),) = settings(named, path, folder).items()
    kind: Callable[..., sources.Credential] = sources.REFERENCES[key]
    return kind(**value) if isinstance(value, dict) else kind(value)


def _example(key: str) -> str:
    """How a source is written, with what it needs."""
    texts = {name: f'"{part.metadata["like"]}"' for name, part in _parts(key).items()}
    needed = ", ".join(f"{name} = {texts[name]}" for name, part in _parts(key).items() if part.default is MISSING)
    return f"{{ {key} = {texts.get(key, f'{{ {needed} }}')} }}"


def _wrong(text: str, path: KeyPath, kind: type[msgspec.Struct]) -> Wrong:
    known = ", ".join(kind.__struct_fields__)
    if match := _UNKNOWN.fullmatch(text):
        return Wrong((*path, match[1]), f"is not known here: the keys are {known}")
    if match := _MISSING.fullmatch(text):
        return Wrong(path, f"{match[1]} is missing")
    text = _WORD.sub(lambda word: _WORDS[word[0]], text.replace(" | null", "").replace("Expected", "has to be"))
    return Wrong(path, text)


# ---- one value


def _readers(folder: Path) -> dict[str, Reader]:
    """By the keys of all tables."""
    file = partial(_file, folder)
    kinds: dict[str, Reader] = {"name": one_line, "variable": _variable, "file": file}
    parts = ((name, part) for key in sources.REFERENCES for name, part in _parts(key).items())
    return {
        **{name: kinds.get(part.metadata["is"]) or partial(_word, part) for name, part in parts},
        **{"region": check_region, "endpoint": _url, "iam_endpoint": _url, "ca_file": file},
        **{"projects": _projects, "weight": _weight},
        **dict.fromkeys(("project_rate", "user_rate", "endpoint_rate"), Rate.parse),
        **dict.fromkeys(("project_concurrency", "concurrency"), _cap),
    }


def one_line(text: str) -> str:
    """A text to show and to hand on: not empty, without control characters or blanks around it, else `ConfigError`."""
    if not text or not text.isprintable() or text != text.strip() or len(text) > 4096:
        raise ConfigError("is empty, too long, or has control characters or blanks around it")
    return text


def _file(folder: Path, text: str) -> str:
    try:
        return str(folder / Path(one_line(text)).expanduser())
    except RuntimeError:
        raise ConfigError("begins with ~, and that user has no home folder here") from None


def _variable(text: str) -> str:
    if not _VARIABLE.fullmatch(text):
        raise ConfigError("has to be the name of an environment variable, like OS_TOKEN; not the secret itself")
    return text


def _url(text: str) -> str:
    if "@" in text:  # not shown: a password may be in it
        raise ConfigError("is scheme, host and port only: no user in it")
    return one_line(text)


def _projects(written: str | list[str]) -> tuple[str, ...] | None:
    if written == "all":
        return None
    if isinstance(written, str) or "all" in written:
        raise ConfigError('has to be "all", or a list of ids, names and globs, like ["eu-de_*"]')
    if not written:
        raise ConfigError('is an empty list: nothing would be done; "all" is all of them')
    return tuple(map(one_line, written))


def _weight(value: int) -> int:
    if not 1 <= value <= 100:
        raise ConfigError("has to be a whole number from 1 to 100")
    return value


def _cap(value: int | str) -> int | None:
    """A number of requests at a time, `"none"` for unlimited."""
    if isinstance(value, str) and value.strip().lower() == "none":
        return None
    if isinstance(value, str) or value < 1:
        raise ConfigError('has to be a whole number of at least 1, or "none"')
    return value


def _word(part: Field[Any], text: str) -> str:
    if text not in (words := part.metadata["words"]):
        listed = " or ".join(f'"{word}"' for word in words)
        raise ConfigError(f"has to be {listed}{part.metadata['hint']}")
    return text
