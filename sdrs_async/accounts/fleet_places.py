"""Where in a fleet file something is wrong, by key and line, and where a secret stands, which has to go."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from typing import Any

from sdrs_async.errors import ConfigError

KeyPath = tuple[str, ...]

_MOST = 20  # errors shown
_DEEPEST = 10  # parts of a key that have a line; the deepest that means something has five
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,80}")
_SECRET = re.compile(
    r"(?:.*[_-])?(?:(?P<token>token)|(?P<password>passw(?:or)?d|passcode)|secret|(?:access|secret|private|api)[_-]?key"
    r"|access[_-]?key[_-]?id|ak|sk|ak[_-]?sk)",
    re.IGNORECASE | re.DOTALL,
)
_BY_VARIABLE = '{ token_env = "OS_TOKEN" }, the variable that holds it'
_BY_CLOUD = '{ os_cloud = "NAME" }, a cloud of clouds.yaml (its password may stand in secure.yaml)'
_BY_VARIABLES = (
    '{ ak_sk = { access_key_env = "HUAWEICLOUD_SDK_AK", secret_key_env = "HUAWEICLOUD_SDK_SK" } }, the variables that '
    "hold them, with security_token_env for a temporary key"
)
# What can hide a line's end from being a statement's end, in TOML that is known to be valid.
_TOKEN = re.compile(
    r'''"""(?:\\.|[^\\])*?"""(?:"{0,2})|\'\'\'.*?\'\'\'(?:'{0,2})|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*|[\[{]|[\]}]|\n''',
    re.DOTALL,
)


class Wrong(Exception):
    """One thing that is wrong at a key, and what to do. Never the value of what may be a secret."""

    def __init__(self, path: KeyPath, text: str) -> None:
        super().__init__(text)
        self.path = path


class Places:
    """The keys of a fleet file with their lines; `text` is TOML that has been read."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._lines: dict[KeyPath, int] = {}
        table: KeyPath = ()
        for number, statement in _statements(text):
            keys = list(_keys(tomllib.loads(statement)))
            header = statement.lstrip().startswith("[")
            if header:
                table = max(keys, key=len)
            for key in keys:
                self._lines.setdefault(key if header else (*table, *key), number)

    def of(self, path: KeyPath) -> str:
        """`fleet.toml, line 3: accounts.prod`: the file, the line as far as one is known, and the key."""
        line = self._line(path)
        key = ".".join(part if _BARE_KEY.fullmatch(part) else json.dumps(part[:80]) for part in path)
        return self._name + (f", line {line}" if line else "") + (f": {key}" if key else "")

    def refusal(self, problems: Iterable[Wrong]) -> ConfigError:
        """All that is wrong as one error, a line each, in the file's order."""
        found = sorted(problems, key=lambda problem: self._line(problem.path))
        lines = [f"{self.of(problem.path)}: {problem}" for problem in found[:_MOST]]
        if len(found) > _MOST:
            lines.append(f"{self._name}: and {len(found) - _MOST} more")
        return ConfigError("\n".join(lines))

    def _line(self, path: KeyPath) -> int:
        """Where the key is set, or else the nearest table that it belongs to; 0 for neither."""
        known = (self._lines.get(path[:length], 0) for length in range(len(path), 0, -1))
        return next(filter(None, known), 0)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each header, key with value, comment or empty line of valid TOML, with the number of the line it begins on."""
    begin, first, number, depth = 0, 1, 1, 0
    text += "\n"
    for token in _TOKEN.finditer(text):
        piece = token[0]
        depth += (piece in {"[", "{"}) - (piece in {"]", "}"})
        number += piece.count("\n")
        if piece == "\n" and not depth:
            yield first, text[begin : token.end()]
            begin, first = token.end(), number


def _keys(table: dict[str, Any], above: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key that a statement sets, with those it belongs to."""
    for key, value in table.items() if len(above) < _DEEPEST else ():
        yield (*above, key)
        yield from _keys(value, (*above, key)) if isinstance(value, dict) else ()


def secrets_in(document: dict[str, Any]) -> Iterator[Wrong]:
    """What stands under a secret's name, at any depth; never its value. Tables deeper than any sense are wrong too."""
    rest: list[tuple[KeyPath, Any]] = [((), document)]
    while rest:
        path, value = rest.pop()
        if len(path) > _DEEPEST:
            yield Wrong(path[:2], "is nested too deep")
        elif isinstance(value, dict):
            rest.extend(((*path, key), inner) for key, inner in value.items())
        elif path and (match := _SECRET.fullmatch(path[-1])):
            yield Wrong(path, f"a secret does not belong in this file, refer to it: credential = {_how(match)}")
        elif isinstance(value, list):
            rest.extend(((*path, str(number)), inner) for number, inner in enumerate(value))


def _how(match: re.Match[str]) -> str:
    if match["password"] or "credential" in match[0].lower():  # an application credential's
        return _BY_CLOUD
    return _BY_VARIABLE if match["token"] and "security" not in match[0].lower() else _BY_VARIABLES
