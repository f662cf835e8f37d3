"""Credentials: what goes beside a request so that the gateway lets it in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sdrs_async.errors import ConfigError
from sdrs_async.models import Request

__all__ = ["Auth", "StaticToken"]


class Auth(Protocol):
    """Any object with these two methods can sign requests."""

    async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
        """Headers to send with the request, fresh for every try. Raises `AuthenticationError` if sign-in fails."""
        ...

    def invalidate(self, project_id: str, headers: Mapping[str, str]) -> bool:
        """These headers were refused; true if another `sign` may do better."""
        ...


class StaticToken:
    """One token for every selected project; it cannot be renewed, so a refusal is final."""

    def __init__(self, token: str) -> None:
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigError("the token is empty or holds characters that no token has (a line break, perhaps)")
        self._headers = {"X-Auth-Token": token}

    def __repr__(self) -> str:
        return "StaticToken(***)"

    async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
        """The token's header."""
        return self._headers

    def invalidate(self, project_id: str, headers: Mapping[str, str]) -> bool:
        """Always false: there is no other token."""
        return False
