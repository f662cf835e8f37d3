"""An access key in clouds.yaml. openstacksdk knows none there; the tools of Open Telekom Cloud do, also in `auth`.

Plain data: what a cloud's settings, as they are written, hold of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdrs_async.credentials.keys import WrittenKeys

_ACCESS, _SECRET, _TOKEN = ("ak", "access_key"), ("sk", "secret_key"), ("security_token",)
NAMES = frozenset((*_ACCESS, *_SECRET, *_TOKEN))
"""What the parts of an access key are called."""
_OF_KEYS = {"", "password", "v3password", "token", "v3token", "aksk", "ak_sk"}
# Each is, or stands beside, what proves a user to IAM.
_PROOFS = {
    *("password", "passcode", "token", "auth_token", "application_credential_secret", "identity_provider"),
    *("auth_methods", "access_token", "client_secret", "access_secret", "consumer_secret", "oauth2_client_secret"),
}


def written_keys(label: str, settings: Mapping[str, Any]) -> WrittenKeys | None:
    """The access key in a cloud's settings, which are texts; `None` without. `label` is for messages.

    Raises `ConfigError` for one of which a half is missing.
    """
    given = _flat(settings)
    used = [next((name for name in names if name in given), names[0]) for names in (_ACCESS, _SECRET, _TOKEN)]
    return WrittenKeys.of(given, used, f"{label}: ")


def signs_in(settings: Mapping[str, Any], environ: Mapping[str, str]) -> bool:
    """Whether there is something to sign in to IAM with; it then goes before the access key."""
    given = _flat(settings)
    if given.keys() & _PROOFS:
        return True
    if str(given.get("auth_type") or given.get("auth_plugin") or "").replace("-", "_") not in _OF_KEYS:
        return True
    return bool(environ.get("OS_PASSWORD", "").strip()) and bool(given.keys() & {"username", "user_id"})


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is set, beside `auth` or in it; a setting beside it counts first."""
    auth = settings.get("auth")
    return {**(auth if isinstance(auth, Mapping) else {}), **settings}
