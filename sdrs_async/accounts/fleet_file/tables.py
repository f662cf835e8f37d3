"""The tables of a fleet file as they are written, checked by msgspec, whose messages hold no value of these."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

import msgspec

from sdrs_async.accounts import sources
from sdrs_async.accounts.fleet_file.places import KeyPath, Wrong

T = TypeVar("T", bound=msgspec.Struct)

_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_WORDS = {"object": "table", "array": "list", "str": "string", "int": "integer", "bool": "boolean"}
_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b")
_INDEX = re.compile(r"\[(\d+|\.\.\.)\]")


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    """A key that is left out is `None`, and one that is unknown an error. No enums: their messages show the value."""


def _reference(kind: type[sources.Credential]) -> Any:
    """What stands under the key of a credential: a text, or a table where it has more than one part."""
    parts = fields(kind)
    written = [(part.name, str) if part.default is MISSING else (part.name, str | None, None) for part in parts]
    return str if len(parts) == 1 else msgspec.defstruct(kind.__name__, written, bases=(_Table,))


_REFERENCES = {key: _reference(kind) for key, kind in sources.REFERENCES.items()}
# `credential`: exactly one of its keys.
Credential = msgspec.defstruct(
    "Credential", [(key, one | None, None) for key, one in _REFERENCES.items()], bases=(_Table,)
)


class Limits(_Table):
    """`limits` of an account or of the defaults. Rates are read by `models.Rate`, which knows what to say."""

    project_rate: Any = None
    project_concurrency: int | str | None = None
    user_rate: Any = None
    endpoint_rate: Any = None


class WholeLimits(_Table):
    """The top `limits`: what holds over all accounts."""

    concurrency: int | str | None = None


class Shared(_Table):
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


class File(_Table):
    """The whole, whose tables are checked one by one, so that each can have its error and its name in it."""

    defaults: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    accounts: dict[str, Any] = {}


# The tables within tables, for the keys that they know.
_WITHIN: Mapping[str, type[msgspec.Struct]] = {
    "limits": Limits, **{key: one for key, one in _REFERENCES.items() if one is not str},
}  # fmt: skip


def table(kind: type[T], value: Any, path: KeyPath) -> T:
    """The table at `path`. Raises `Wrong` with the key that does not fit."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        text, _, at = str(error).partition(" - at `$")
        inner = tuple(_INDEX.sub("", at.removesuffix("`")).strip(".").split(".")) if at else ()
        raise _wrong(text, (*path, *filter(None, inner)), _WITHIN.get(inner[-1], kind) if inner else kind) from None


def _wrong(text: str, path: KeyPath, kind: type[msgspec.Struct]) -> Wrong:
    known = ", ".join(kind.__struct_fields__)
    if match := _UNKNOWN.fullmatch(text):
        return Wrong((*path, match[1]), f"is not known here: the keys are {known}")
    if match := _MISSING.fullmatch(text):
        return Wrong(path, f"{match[1]} is missing")
    text = _WORD.sub(lambda word: _WORDS[word[0]], text.replace(" | null", "").replace("Expected", "has to be"))
    return Wrong(path, text)
