"""An access key in clouds.yaml. openstacksdk knows none there; the tools of Open Telekom Cloud do, also in `auth`.

Plain data: what a cloud's settings, as they are written, hold of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sdrs_async.errors import ConfigError

__all__ = ["NAMES", "WrittenKeys", "signs_in", "written_keys"]

_ACCESS, _SECRET, _TOKEN = ("ak", "access_key"), ("sk", "secret_key"), ("security_token",)
NAMES = frozenset((*_ACCESS, *_SECRET, *_TOKEN))
"""What the parts of an access key are called."""
_OF_KEYS = {"", "password", "v3password", "token", "v3token", "aksk", "ak_sk"}
# Each is, or stands beside, what proves a user to IAM.
_PROOFS = (
    *("password", "passcode", "token", "application_credential_secret", "identity_provider", "auth_methods"),
    *("access_token", "client_secret", "access_secret", "consumer_secret", "oauth2_client_secret"),
)


class WrittenKeys(NamedTuple):
    """An access key as it stands in a file; the security token makes it a temporary one."""

    access_key: str
    secret_key: str
    security_token: str | None

    def __repr__(self) -> str:
        return "WrittenKeys(***)"


def written_keys(place: str, cloud: object) -> WrittenKeys | None:
    """The access key in a cloud's settings, `None` without; `place` is for messages.

    Raises `ConfigError` for one of which a half is missing, and for what YAML took for a number or a date.
    """
    given = dict(_given(cloud))
    found = [next((name for name in names if name in given), None) for names in (_ACCESS, _SECRET, _TOKEN)]
    access, secret, token = found
    if access is None and secret is None:
        return None
    if access is None or secret is None:
        raise ConfigError(f"{place}: {'sk' if access else 'ak'} is missing, though {access or secret} is there")
    for name in filter(None, found):
        if not isinstance(given[name], str):
            raise ConfigError(f"{place}: {name} is no text as it is written, but a number or a date: put it in quotes")
    return WrittenKeys(given[access], given[secret], given[token] if token is not None else None)


def signs_in(cloud: object, environ: Mapping[str, str]) -> bool:
    """Whether there is something to sign in to IAM with; it then goes before the access key."""
    given = dict(_given(cloud))
    if any(name in given for name in _PROOFS):
        return True
    if str(given.get("auth_type") or given.get("auth_plugin") or "").replace("-", "_") not in _OF_KEYS:
        return True
    return bool(environ.get("OS_PASSWORD")) and ("username" in given or "user_id" in given)


def _given(cloud: object) -> Iterator[tuple[str, Any]]:
    """What is set, beside `auth` or in it, by the names that openstacksdk has for it; what is empty is not set."""
    settings = cloud if isinstance(cloud, Mapping) else {}
    for part in (settings.get("auth"), settings):  # as `dict` reads them: the last one counts
        for key, value in part.items() if isinstance(part, Mapping) else ():
            if value is not None and value != "":
                yield str(key).replace("-", "_"), value
