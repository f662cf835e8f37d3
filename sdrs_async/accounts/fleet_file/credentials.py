"""`credential` of an account: one source, by reference."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from sdrs_async.accounts.fleet_file import tables
from sdrs_async.accounts.fleet_file.places import KeyPath, Wrong
from sdrs_async.accounts.sources import REFERENCES, Credential

# Stricter than the shells: the name of a variable is shown, so a secret pasted in its place must not look like one.
# Keys have no underscore and mixed case, tokens are longer.
_VARIABLE = re.compile(r"(?!\d)(?:[A-Z\d_]{1,64}|(?=[^_]*_)\w{1,64})", re.ASCII)


def credential_of(written: object, path: KeyPath, folder: Path) -> Credential:
    """The one source that is named. Raises `Wrong`."""
    table = tables.table(tables.Credential, {} if written is None else written, path)
    named = [key for key in REFERENCES if getattr(table, key) is not None]
    if not named:
        raise Wrong(path, f"a source is missing: it is one of {', '.join(map(_example, REFERENCES))}")
    if len(named) > 1:
        raise Wrong(path, f"has {' and '.join(named)}: name one source")
    kind: Callable[..., Credential] = REFERENCES[named[0]]
    value = getattr(table, named[0])
    path, parts = (*path, named[0]), fields(REFERENCES[named[0]])
    if len(parts) == 1:
        return kind(_checked(value, parts[0], path, folder))
    given = ((part, getattr(value, part.name)) for part in parts)
    return kind(**{p.name: _checked(text, p, (*path, p.name), folder) for p, text in given if text is not None})


def _example(key: str) -> str:
    """How a source is written, with what it needs."""
    parts = fields(REFERENCES[key])
    needed = [f'{part.name} = "{part.metadata["like"]}"' for part in parts if part.default is MISSING]
    value = f'"{parts[0].metadata["like"]}"' if len(parts) == 1 else f"{{ {', '.join(needed)} }}"
    return f"{{ {key} = {value} }}"


def _checked(text: str, part: Field[Any], path: KeyPath, folder: Path) -> str:
    match part.metadata["is"]:
        case "file":
            return file_path(text, path, folder)
        case "variable":
            return _variable(text, path)
        case "word" if text not in part.metadata["words"]:
            words = " or ".join(f'"{word}"' for word in part.metadata["words"])
            raise Wrong(path, f"has to be {words}{part.metadata['hint']}")
    return one_line(text, path)


def one_line(text: str, path: KeyPath) -> str:
    """A text to show and to hand on: not empty, without control characters or blanks around it. Raises `Wrong`."""
    if not text or not text.isprintable() or text != text.strip() or len(text) > 4096:
        raise Wrong(path, "is empty, too long, or has control characters or blanks around it")
    return text


def file_path(text: str, path: KeyPath, folder: Path) -> str:
    """The path of a file, relative to the fleet file's folder; `~` is the user's own. Raises `Wrong`."""
    try:
        return str(folder / Path(one_line(text, path)).expanduser())
    except RuntimeError:
        raise Wrong(path, "begins with ~, and that user has no home folder here") from None


def _variable(text: str, path: KeyPath) -> str:
    if not _VARIABLE.fullmatch(text):
        raise Wrong(path, "has to be the name of an environment variable, like OS_TOKEN; not the secret itself")
    return text
