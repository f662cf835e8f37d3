"""No secret in a fleet file: a key that would hold one is refused, with the way to refer to it instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sdrs_async.accounts.fleet_file.places import KeyPath, Wrong

_DEEPEST = 10
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
