"""HTTP of the libraries that sign in by blocking a thread: bounded in size, and at an end with whoever waits for it.

`requests` comes with the extras whose libraries use it, so this module is imported where they are.
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

import requests
from requests.adapters import HTTPAdapter

from sdrs_async.threads import errand_of_this_thread

if TYPE_CHECKING:
    import socket

    from requests import PreparedRequest, Response
    from urllib3 import PoolManager

__all__ = ["AnswerRefused", "guard", "proxy_passwords"]

_MOST = 1 << 20
_CHUNK = 1 << 16


class AnswerRefused(requests.RequestException):
    """An answer that is no sign-in's: too large, or packed in a way that was not asked for. Its text says so."""


def guard(session: requests.Session) -> None:
    """Let a session read 1 MiB of an answer at most, unpacked, and write nothing once its errand is abandoned.

    Raises what `requests` raises, `AnswerRefused` among it, and `Abandoned`.
    """
    adapter = _Guarded()
    session.mount("https://", adapter)
    session.mount("http://", adapter)


def proxy_passwords() -> list[str]:
    """Those of the proxies in the environment, as they are and decoded: the libraries' errors name their proxy."""
    found: list[str] = []
    for proxy in getproxies().values():
        with suppress(ValueError):  # no URL, and so no password that anything takes from it
            password = urlsplit(proxy).password or ""
            found += password, unquote(password)
    return found


class _Guarded(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _guard_connections(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        _guard_connections(manager)
        return manager

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        if errand := errand_of_this_thread():
            errand.go_on()
        request.headers["Accept-Encoding"] = "identity"
        response = super().send(request, *args, **kwargs)
        try:
            # Set as requests itself sets it; there is no public way to give a response the body that was read of it.
            response._content = _body(response)
        except BaseException:
            response.close()
            raise
        return response


def _body(response: Response) -> bytes:
    # Unpacked here, where the size is counted: requests would unpack a chunk, however large it becomes, at once.
    coding = response.raw.headers.pop("Content-Encoding", "identity").strip().lower()
    body = bytearray()
    for chunk in response.iter_content(_CHUNK):
        body += chunk
        if len(body) > _MOST:
            raise AnswerRefused(f"its answer is larger than {_MOST >> 20} MiB")
    return bytes(body) if coding in ("identity", "") or not body else _unpacked(bytes(body), coding)


def _unpacked(body: bytes, coding: str) -> bytes:
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise AnswerRefused("its answer is packed in a way that was not asked for")
    try:
        unpacked = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, _MOST + 1)
    except zlib.error:
        raise AnswerRefused("its answer is packed, and cannot be unpacked") from None
    if len(unpacked) > _MOST:
        raise AnswerRefused(f"its answer is larger than {_MOST >> 20} MiB when it is unpacked")
    return unpacked


# ---- connections ----------------------------------------------------------------------------------------------------


class _ErrandConnection:
    """What a connection of urllib3 does here before it writes: ask whether anybody still waits for that."""

    sock: socket.socket | None
    _known_to: object = None

    def _new_conn(self) -> socket.socket:
        """All that opens a connection, before TLS or a proxy's tunnel begins on it."""
        errand = errand_of_this_thread()
        if errand is not None:
            errand.go_on()
        made: socket.socket = super()._new_conn()  # type: ignore[misc]  # this stands before a connection's class
        if errand is not None:
            try:
                errand.go_on(made)
            except BaseException:
                made.close()
                raise
            self._known_to = errand
        return made

    def send(self, data: Any) -> None:
        """All that a request writes; the connection may be one that an errand before this one has left open."""
        errand = errand_of_this_thread()
        if errand is not None and self.sock is not None:
            errand.go_on(None if self._known_to is errand else self.sock)
            self._known_to = errand
        super().send(data)  # type: ignore[misc]  # as above


def _guard_connections(manager: PoolManager) -> None:
    classes = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _guarded_pool(pool) for scheme, pool in classes.items()}


@cache
def _guarded_pool(pool: Any) -> Any:
    """The same class of a pool, those of other kinds of proxies too, with connections of the kind above."""
    if issubclass(pool.ConnectionCls, _ErrandConnection):
        return pool
    connection = type("ErrandConnection", (_ErrandConnection, pool.ConnectionCls), {})
    return type("ErrandPool", (pool,), {"ConnectionCls": connection})
