"""Tokens and keys that are handed in: what signs by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeGuard

from sdrs_async.credentials.signing import Signer
from sdrs_async.errors import ConfigError
from sdrs_async.models import Request
from sdrs_async.transport.redaction import Secrets, hidden_of_key, shown_key

_PARTS = ("the access key", "the secret key", "the security token")


class _Hidden(dict[str, str]):
    """Headers whose values `vars()` of their holder does not show."""

    def __repr__(self) -> str:
        return "{***}"


class StaticToken:
    """One token for every selected project; it cannot be renewed, so a refusal is final."""

    def __init__(self, token: str) -> None:
        check_secret("the token", token)
        self._headers = _Hidden({"X-Auth-Token": token})
        self.secrets = Secrets((token,))

    def __repr__(self) -> str:
        return "StaticToken(***)"

    async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
        """The token's header."""
        return self._headers

    def invalidate(self, project_id: str, headers: Mapping[str, str]) -> bool:
        """Always false: there is no other token."""
        return False


class AkSk:
    """An access key and its secret key, with `security_token` a temporary pair; every try is signed anew.

    `scope`: region and service, for the older `Credential=` form of the signature. `iam_endpoint`: where the keys are
    known, if their source says so. `clock`: seconds since the epoch; the gateway refuses 15 minutes of difference.
    Raises `ConfigError` for what cannot be a key.
    """

    one_key = True

    def __init__(
        self,
        access_key: str,
        secret_key: str,
        security_token: str | None = None,
        *,
        scope: tuple[str, str] | None = None,
        iam_endpoint: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        WrittenKeys(access_key, secret_key, security_token).check(_PARTS)
        self.iam_endpoint = iam_endpoint
        self.identity = access_key
        self._signer = Signer(access_key, secret_key, scope)
        self._token = _Hidden({} if security_token is None else {"X-Security-Token": security_token})
        self.secrets = Secrets((secret_key, security_token or "", hidden_of_key(access_key)))
        self._clock = clock
        self._second = -1
        self._date = ""

    def __repr__(self) -> str:
        return f"AkSk({shown_key(self.identity)})"

    async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
        """The signature and the headers it covers, `Host` among them, so that what is signed is what goes out."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._date = second, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        headers = {"Host": request.host, "X-Sdk-Date": self._date}
        signed = {"host": request.host, "x-sdk-date": self._date}
        if project_id:
            headers["X-Project-Id"] = signed["x-project-id"] = project_id
        for name, token in self._token.items():
            headers[name] = signed[name.lower()] = token
        headers["Authorization"] = self._signer.authorization(request.method, request.path, request.query, signed)
        return headers

    def invalidate(self, project_id: str, headers: Mapping[str, str]) -> bool:
        """Always false: the same key would be refused again, and locked after a few times."""
        return False


class WrittenKeys(NamedTuple):
    """An access key as a file or the environment has it; the security token makes it a temporary one."""

    access_key: str
    secret_key: str
    security_token: str | None

    def __repr__(self) -> str:
        return "WrittenKeys(***)"

    @classmethod
    def of(
        cls, given: Mapping[str, str], names: Sequence[str], place: str = "", *, where: str = ""
    ) -> WrittenKeys | None:
        """What is given under these three names; `None` without the first two, of which one alone is a `ConfigError`.

        `place` stands before its message, `where` behind what is missing. What is empty is not given.
        """
        access, secret, token = (given.get(name) or None for name in names)
        if access is not None and secret is not None:
            return cls(access, secret, token)
        if access is None and secret is None:
            return None
        missing, other = names[:2] if access is None else names[1::-1]
        raise ConfigError(f"{place}{missing} is missing{where}, though {other} is there")

    def check(self, places: Sequence[str]) -> None:
        """Raise `ConfigError`, with the place of the part, if one of them cannot be sent."""
        for place, value in zip(places, self if self.security_token is not None else self[:2], strict=False):
            check_secret(place, value)


def check_secret(place: str, value: object) -> None:
    """Raise `ConfigError`, which names the place and never shows the value, for what no token or key looks like."""
    if not can_be_sent(value):
        raise ConfigError(f"{place} is empty or holds characters that no token or key has (a line break, perhaps)")


def can_be_sent(value: object) -> TypeGuard[str]:
    """Whether a token or a key may look like this."""
    return isinstance(value, str) and bool(value) and value.isascii() and value.isprintable() and " " not in value
