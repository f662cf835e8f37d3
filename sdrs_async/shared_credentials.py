"""Which accounts share a key or a user: they share the lock, too, that a few refusals put on it.

More than five refusals in a row lock a key (vendor's FAQ on signing), whichever region they come from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import anyio

from sdrs_async.accounts import Account
from sdrs_async.errors import AuthenticationError
from sdrs_async.models import Request

__all__ = ["SharedCredential", "SharedCredentials"]

_REFUSALS = 2
# Both forms of signature (signing guide); the older one goes on behind a slash.
_ACCESS_KEY = re.compile(r"(?:Access|Credential)=([^,/]+)")


@dataclass(slots=True)
class SharedCredential:
    """One key or user. `turn`: held by the account that tries it; `refused_for`: the accounts that it failed."""

    turn: anyio.Lock = field(default_factory=anyio.Lock)
    refused_for: list[str] = field(default_factory=list)

    @property
    def is_spent(self) -> bool:
        """Whether it is not to be tried any more. One refusal says little: the other account's secret may be right."""
        return len(self.refused_for) >= _REFUSALS


class SharedCredentials:
    """The keys and users of accounts that are examined together."""

    def __init__(self) -> None:
        self._known: dict[str, SharedCredential] = {}

    async def of(self, account: Account, seconds: float) -> SharedCredential:
        """That of an account. Sends nothing; what cannot be told apart within so many seconds counts as its own."""
        name = f"account {account.name}"
        if getattr(account.auth, "one_key", False):
            name = await _access_key(account, seconds) or name
        elif hasattr(account.auth, "prepare"):
            name = f"{account.auth!r} {account.iam_endpoint}"  # its repr names the cloud that it signs in to
        return self._known.setdefault(name, SharedCredential())


async def _access_key(account: Account, seconds: float) -> str | None:
    """What a signature says of the key, which is no secret."""
    host = "signed-and-never-sent.invalid"
    try:
        with anyio.fail_after(seconds):
            headers = await account.auth.sign(Request("GET", f"https://{host}/", host=host, path="/"), "")
    except (AuthenticationError, TimeoutError):
        return None
    found = _ACCESS_KEY.search(headers.get("Authorization", ""))
    return f"key {found[1]}" if found else None
