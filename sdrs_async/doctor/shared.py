"""Which accounts share a key or a user: they share the lock, too, that a few refusals put on it.

More than five refusals in a row lock a key (vendor's FAQ on signing), whichever region they come from.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from sdrs_async.accounts.account import Account

__all__ = ["SharedCredential", "SharedCredentials"]

_REFUSALS = 2


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

    def of(self, account: Account) -> SharedCredential:
        """That of an account; what cannot be told apart from others is its own."""
        auth, name = account.auth, f"account {account.name}"
        if getattr(auth, "one_key", False):
            name = f"key {identity}" if (identity := getattr(auth, "identity", None)) is not None else name
        elif hasattr(auth, "prepare"):
            name = f"{auth!r} {account.iam_endpoint}"  # its repr names the cloud that it signs in to
        return self._known.setdefault(name, SharedCredential())
