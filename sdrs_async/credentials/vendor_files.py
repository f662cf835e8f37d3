"""The vendor's credentials file."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdrs_async.credentials.keys import AkSk, WrittenKeys
from sdrs_async.errors import ConfigError

_SECTION = "basic"
_NAMES = ("ak", "sk", "security_token")


def from_file(path: str | Path | None = None, *, environ: Mapping[str, str]) -> AkSk | None:
    """The keys in section `[basic]` of the vendor's credentials file: `path`, or HUAWEICLOUD_SDK_CREDENTIALS_FILE, or
    `~/.huaweicloud/credentials`; `None` if only the last is left, and not there.

    Raises `ConfigError` naming file, section and key.
    """
    named = path or environ.get("HUAWEICLOUD_SDK_CREDENTIALS_FILE")
    if not named and (home := environ.get("HOME") or environ.get("USERPROFILE")):
        usual = Path(home, ".huaweicloud", "credentials")
        named = usual if usual.exists() else None
    if not named:
        return None
    place = Path(named)
    try:
        text = place.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"the credentials file {place} cannot be read: {reason}") from None
    return _keys(_section(place, text), f"{place}, [{_SECTION}]: ")


def _keys(values: Mapping[str, str], place: str) -> AkSk:
    keys = WrittenKeys.of(values, _NAMES, place)
    if keys is None:
        raise ConfigError(f"{place}ak and sk are missing")
    keys.check([f"{place}{name}" for name in _NAMES])
    return AkSk(*keys, iam_endpoint=values.get("iam_endpoint") or None)


def _section(place: Path, text: str) -> Mapping[str, str]:
    parser = configparser.ConfigParser(interpolation=None)  # a security token may hold a percent sign
    line = None
    try:
        parser.read_string(text)
    except configparser.Error as error:
        line = _line_of(error)
    if line is not None:  # raised here: the error itself, and so a traceback with it, would show the line
        raise ConfigError(f"the credentials file {place} is not understood: look at line {line}")
    if not parser.has_section(_SECTION):
        raise ConfigError(f"the credentials file {place} has no section [{_SECTION}]")
    return parser[_SECTION]


def _line_of(error: Any) -> int:
    return int(getattr(error, "lineno", None) or error.errors[0][0])
