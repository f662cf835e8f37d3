"""HTTP of libraries that sign in by blocking a thread: bounded, ended with whoever waits, by the run's own settings.

`requests` comes with the extras whose libraries use it, so this module is imported where they are.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from requests.adapters import HTTPAdapter
from yarl import URL

from sdrs_async.errors import ConfigError
from sdrs_async.transport.bodies import Unreadable, unpacking
from sdrs_async.transport.proxies import Proxy, proxy_of, proxy_settings, with_scheme
from sdrs_async.transport.redaction import user_info_of
from sdrs_async.transport.threads import errand_of_this_thread
from sdrs_async.transport.trust import Trust

if TYPE_CHECKING:
    import socket
    import ssl

    from requests import PreparedRequest, Response
    from urllib3 import PoolManager

_MOST = 1 << 20
_CHUNK = 1 << 16
_MOST_LOGGED = 8 * 1024  # characters of one record, which may be an answer with its catalog
_signing_in = threading.local()
_Setting = TypeVar("_Setting")


class AnswerRefused(requests.RequestException):
    """An answer that is no sign-in's: too large, or packed in a way that was not asked for. Its text says so."""


class SettingRefused(requests.RequestException):
    """A proxy or a file of certificates that cannot be used, or a proxy's 407. Its text names the setting."""


def guard(session: requests.Session, trust: Trust, cert: str | tuple[str, str] | None = None) -> None:
    """Let a session read 1 MiB of an answer at most, unpacked, and write nothing once its errand is abandoned; what
    urllib3 logs of it goes by way of `redacting`.

    It goes by the proxies of `proxy_of` and trusts the certificates of `trust` alone, whatever it and its requests say
    of these, shows the client certificate `cert`, and reads no ~/.netrc. Raises what `requests` raises, among it
    `SettingRefused` and, of an answer that is no refusal, `AnswerRefused`; and `Abandoned`.
    """
    adapter = _Guarded(trust, cert)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.trust_env = False
    redact_logs("urllib3.connection", "urllib3.connectionpool")


def proxy_secrets() -> list[str]:
    """What is secret of the proxies in the environment: the libraries' errors name their proxy."""
    return [secret for proxy in proxy_settings().values() for secret in user_info_of(with_scheme(proxy))]


@contextmanager
def redacting(struck: Callable[[str], str]) -> Iterator[None]:
    """What this thread logs by the loggers of `redact_logs` has gone through `struck`, which takes secrets out."""
    _signing_in.struck = struck
    try:
        yield
    finally:
        _signing_in.struck = None


def redact_logs(*loggers: str) -> None:
    """Have these log what a server answered, which may be what it was sent, by way of `redacting`."""
    for name in loggers:
        logging.getLogger(name).addFilter(_redact)


def _redact(record: logging.LogRecord) -> bool:
    struck: Callable[[str], str] | None = getattr(_signing_in, "struck", None)
    if struck is not None:  # with an exception, its text would be shown
        record.msg, record.args, record.exc_info = struck(record.getMessage()[:_MOST_LOGGED]), (), None
    return True


class _Guarded(HTTPAdapter):
    def __init__(self, trust: Trust, cert: str | tuple[str, str] | None) -> None:
        self._trust = trust
        self._cert = cert
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _guard_connections(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        if proxy.startswith("https:"):  # which is no IAM, so that it is shown no client certificate
            kwargs["proxy_ssl_context"] = _or_refused(self._trust.blocking_context)
        manager = super().proxy_manager_for(proxy, **kwargs)
        _guard_connections(manager)
        return manager

    def cert_verify(self, conn: Any, url: str, verify: object, cert: object) -> None:
        """Give a pool the one context: what requests and urllib3 would add here adds to whom it trusts."""
        if conn.scheme == "https":
            conn.conn_kw["ssl_context"] = self._tls
            conn.cert_reqs = "CERT_REQUIRED" if self._trust.checked else "CERT_NONE"
            conn.ca_certs = conn.ca_cert_dir = conn.cert_file = conn.key_file = None

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # Made when it is needed, in the thread that needs it: reading a store takes a tenth of a second.
        compares = version("urllib3").startswith("1.")  # and keeps an address to itself
        return _or_refused(lambda: self._trust.blocking_context(self._cert, names=not compares))

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """What gives the proxy its password, here and at the service's half alike: any characters, a user or none."""
        return Proxy(URL(proxy), "").headers

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:  # type: ignore[override]  # as it is called
        if errand := errand_of_this_thread():
            errand.go_on()
        request.headers["Accept-Encoding"] = "identity"
        proxy = _or_refused(lambda: proxy_of(str(request.url)))
        proxies = {scheme: str(proxy.url) for scheme in ("http", "https")} if proxy is not None else {}
        try:
            response = super().send(request, **{**kwargs, "verify": True, "cert": None, "proxies": proxies})
        except requests.exceptions.ProxyError as error:
            if proxy is None or "Tunnel connection failed: 407" not in str(error):
                raise
            raise _lets_nobody_in(proxy) from None
        if proxy is not None and response.status_code == 407:
            response.close()
            raise _lets_nobody_in(proxy)
        try:
            # Set as requests itself sets it; there is no public way to give a response the body that was read of it.
            response._content = _body(response)
        except BaseException as error:
            response.close()
            if not isinstance(error, AnswerRefused) or response.status_code < 300:
                raise
            response._content = str(error).encode()  # a refusal is one by its status: only its text is lost
        return response


def _or_refused(setting: Callable[[], _Setting]) -> _Setting:
    try:
        return setting()
    except ConfigError as error:
        raise SettingRefused(str(error)) from None


def _lets_nobody_in(proxy: Proxy) -> SettingRefused:
    return SettingRefused(f"the proxy answered 407: {proxy.variable} lacks its user and password, or has wrong ones")


def _body(response: Response) -> bytes:
    # Unpacked here, where the size is counted: requests would unpack a chunk, however large it becomes, at once.
    coding = response.raw.headers.pop("Content-Encoding", "")
    body = _bounded(response.iter_content(_CHUNK))
    try:
        return _bounded(unpacking(body, coding, _MOST))
    except Unreadable as error:
        raise AnswerRefused(f"it gave {error}") from None


def _bounded(pieces: Iterable[bytes]) -> bytes:
    whole = bytearray()
    for piece in pieces:
        whole += piece
        if len(whole) > _MOST:
            raise AnswerRefused(f"its answer is larger than {_MOST >> 20} MiB")
    return bytes(whole)


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
    # By their own names, which errors show.
    connection = type(pool.ConnectionCls.__name__, (_ErrandConnection, pool.ConnectionCls), {})
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})
