"""The access keys, and how many wrong signatures in a row lock one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from sdrs_async.simulator.account import Key
from sdrs_async.simulator.signature import Claim, SignedRequest, refusal

# "More than 5 consecutive failures lock the key for 5 minutes" (FAQ of the vendor's gateway).
_FAILURES = 5
_LOCKED_SECONDS = 300.0


class Keys:
    """Judges signatures. `clock`: POSIX seconds now, which a request's own date is held against too."""

    def __init__(self, keys: Iterable[Key], clock: Callable[[], float]) -> None:
        self._keys = {key.access_key: key for key in keys}
        self._clock = clock
        self._failures: Counter[str] = Counter()
        self._locked_until: dict[str, float] = {}

    @property
    def locked(self) -> list[str]:
        """The ids of the keys that are locked now."""
        return [access_key for access_key in self._keys if self._is_locked(access_key)]

    def forget(self) -> None:
        """As if no signature had been wrong."""
        self._failures.clear()
        self._locked_until.clear()

    def refusal(self, request: SignedRequest, claim: Claim) -> str | None:
        """Why a signed request is refused, in the words of the gateway; `None` when it gets in. Counts it."""
        key = self._keys.get(claim.access_key)
        if key is None:
            return "verify ak sk signature fail, AK not found"
        if self._is_locked(key.access_key):
            return "AK access failed to reach the limit,forbidden"
        reason = self._reason(request, claim, key)
        self._count(key.access_key, failed=reason is not None)
        return reason

    def _reason(self, request: SignedRequest, claim: Claim, key: Key) -> str | None:
        if key.security_token not in (None, request.headers.get("x-security-token")):
            return "verify ak sk signature fail, the security token is missing or wrong"
        return refusal(request, claim, key.secret_key, datetime.fromtimestamp(self._clock(), UTC))

    def _count(self, access_key: str, *, failed: bool) -> None:
        if not failed:
            del self._failures[access_key]
            return
        self._failures[access_key] += 1
        if self._failures[access_key] > _FAILURES:
            self._locked_until[access_key] = self._clock() + _LOCKED_SECONDS
            del self._failures[access_key]

    def _is_locked(self, access_key: str) -> bool:
        return self._clock() < self._locked_until.get(access_key, 0.0)
