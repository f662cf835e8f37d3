"""The wire: one `send` is one request and one classified reply. The only client-side code that knows aiohttp."""

from __future__ import annotations

import ipaddress
import logging
import re
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from sdrs_async.auth import Auth
from sdrs_async.deadlines import Deadlines
from sdrs_async.errors import AuthenticationError, ConfigError
from sdrs_async.models import Limits, Reply, Request, RetryPolicy, Target, Verdict
from sdrs_async.wire import classify, group_failures_path, one_line, parse_error, parse_retry_after, parse_throttle

__all__ = ["Client", "check_endpoint"]

log = logging.getLogger("sdrs_async")

_MAX_ERROR_BODY = 64 * 1024
_REQUEST_IDS = ("X-Request-Id", "X-IAM-Trace-Id")
_CONNECT_TIMEOUT = 10.0
_URL = re.compile(r"https?://[\w.:\[\]/~-]+", re.IGNORECASE | re.ASCII)
# The service catalog's URL of the service ends in its version and the project id; both are added to each request.
_API_ROOT = re.compile(r"/*(?:/v1(?:/[0-9a-f]{32})?)?/*$")


def check_endpoint(endpoint: str, *, allow_http: bool = False) -> str:
    """The endpoint as `scheme://host[:port][/prefix]`, or `ConfigError`.

    Plain http is for this machine only: elsewhere a credential would cross the network in the clear.
    """
    if {"@", "?", "#"} & set(endpoint):  # not shown: a password may be in it
        raise ConfigError("the endpoint is scheme, host and port only: no user, query or fragment in it")
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")  # what looking it up does, and fails at
    except ValueError as error:
        raise ConfigError(f"endpoint {endpoint!r} is not a URL: {error}") from None
    if not host or not _URL.fullmatch(endpoint):
        raise ConfigError(f"endpoint {endpoint!r} is not a URL like https://sdrs.eu-de.otc.t-systems.com")
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        raise ConfigError(f"endpoint {endpoint!r} would send the credential unencrypted: use https, or --allow-http")
    return f"{parts.scheme}://{parts.netloc}{_API_ROOT.sub('', parts.path, count=1)}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Client:
    """One aiohttp session for one run, used as an async context manager.

    The connection pool is as large as `limits.concurrency`, so that no request waits for a connection inside its own
    time. `ca_file` replaces the system's certificates; they are always checked. Proxies come from the environment,
    netrc never.
    """

    def __init__(
        self,
        endpoint: str,
        auth: Auth,
        *,
        limits: Limits,
        retry: RetryPolicy,
        ca_file: str | None = None,
        allow_http: bool = False,
    ) -> None:
        self.endpoint = check_endpoint(endpoint, allow_http=allow_http)
        self._base = URL(self.endpoint, encoded=True)
        self._root = self._base.raw_path.rstrip("/")
        self._auth = auth
        self._proxy = _proxy_of(self.endpoint)
        self._pool = limits.concurrency or 0
        # The total time, reading included, is kept by `Deadlines`: aiohttp's own costs a timer per request.
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=min(_CONNECT_TIMEOUT, retry.timeout))
        self._tls = _tls_context(ca_file) if self.endpoint.startswith("https") else True

    async def __aenter__(self) -> Self:
        self._deadlines = Deadlines()
        connector = aiohttp.TCPConnector(limit=self._pool, ssl=self._tls)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            headers={"User-Agent": "sdrs-async"},
            # aiohttp's own reading of the environment (trust_env) would also send what ~/.netrc holds.
            trust_env=False,
            proxy=self._proxy,
        )
        # aiohttp sends a DELETE a second time by itself when a kept-alive connection closes. That breaks the pacing's
        # proof and the count of tries, and a signature may be too old by then. There is no public switch (aiohttp
        # client.py, `retry_persistent_connection`); tests/test_client.py counts arrivals to notice when this changes.
        self._session._retry_connection = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.close()
        await self._session.close()

    async def send(self, target: Target, timeout: float) -> Reply:  # noqa: ASYNC109 - kept by `Deadlines`
        """Delete the failed tasks of one protection group: one request, one reply.

        `timeout` is in seconds. What a server or network does is data; `ConfigError` only for an id that is refused.
        """
        path = group_failures_path(target)
        request = Request("DELETE", self.endpoint + path)
        try:
            headers = await self._auth.sign(request, target.project_id)
        except AuthenticationError as error:
            return Reply(Verdict.UNAUTHORIZED, message=str(error), retryable=False, sent=False)
        # The same URL, but not parsed again: that costs 2 microseconds.
        url = self._base.with_path(self._root + path, encoded=True)
        reply = await self._exchange(request.method, url, headers, timeout)
        if reply.message:
            reply = _without_secrets(reply, headers)
        if reply.verdict is Verdict.UNAUTHORIZED and not self._auth.invalidate(target.project_id, headers):
            reply = replace(reply, retryable=False)
        if log.isEnabledFor(logging.DEBUG):
            log.debug(
                "DELETE %s -> %s %s in %.0f ms, request id %s",
                request.url, reply.status_code, reply.verdict, reply.elapsed * 1000, reply.request_id,
            )  # fmt: skip
        return reply

    async def _exchange(self, method: str, url: URL, headers: Mapping[str, str], seconds: float) -> Reply:
        started = time.perf_counter()
        try:
            with self._deadlines.after(seconds):
                response = await self._session.request(method, url, headers=headers, allow_redirects=False)
        except (aiohttp.ClientError, OSError) as error:
            return _unreachable(error, time.perf_counter() - started)
        elapsed = time.perf_counter() - started
        try:
            if 200 <= response.status < 300:
                return Reply(Verdict.DELETED, response.status, request_id=_request_id(response), elapsed=elapsed)
            return _read_reply(response, await self._read_some(response, seconds - elapsed), elapsed)
        finally:
            if not response.closed:  # without a body it has been given back already
                response.release()

    async def _read_some(self, response: aiohttp.ClientResponse, seconds: float) -> bytes:
        """The first 64 KiB of an error body, or what of it came within the time."""
        body = bytearray()
        # The status line came, and it decides: a body cut off or too slow is not worth losing it for.
        with suppress(aiohttp.ClientError, OSError), self._deadlines.after(seconds):
            while len(body) < _MAX_ERROR_BODY and (chunk := await response.content.read(_MAX_ERROR_BODY - len(body))):
                body += chunk
        return bytes(body)


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the CA file {ca_file!r} cannot be used: {error}") from None


def _proxy_of(endpoint: str) -> str | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name for this endpoint; never one for this machine itself.

    Plain http is allowed on loopback because it stays here: through a proxy it would not. Raises `ConfigError`.
    """
    parts = urlsplit(endpoint)
    if _is_loopback(parts.hostname or "") or proxy_bypass(parts.netloc):
        return None
    proxy = getproxies().get(parts.scheme)
    if proxy is None:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        usable = URL(proxy).scheme in ("http", "https") and URL(proxy).host
    except ValueError:
        usable = None
    if not usable:  # not shown: a password may be in it
        raise ConfigError(f"{parts.scheme.upper()}_PROXY is not the URL of a proxy, like http://proxy.example.com:3128")
    return proxy


def _read_reply(response: aiohttp.ClientResponse, body: bytes, elapsed: float) -> Reply:
    error = parse_error(body)
    scope, window = parse_throttle(error.message)
    return Reply(
        verdict=classify(response.status, error.code),
        status_code=response.status,
        error_code=error.code,
        message=error.message or one_line(response.reason or ""),
        request_id=_request_id(response) or error.request_id,
        retry_after=parse_retry_after(response.headers.get("Retry-After")),
        scope=scope,
        window=window,
        elapsed=elapsed,
    )


def _request_id(response: aiohttp.ClientResponse) -> str | None:
    for name in _REQUEST_IDS:
        if (value := response.headers.get(name)) and value.isprintable():
            return value[:100]
    return None


def _without_secrets(reply: Reply, headers: Mapping[str, str]) -> Reply:
    """A gateway may echo what it refused; the credential must not travel on in a message."""
    message = reply.message
    for secret in headers.values():
        for spelled in (secret, secret.replace("/", r"\/")) if len(secret) > 3 else ():
            message = _without_end(message.replace(spelled, "***"), spelled)
    return reply if message == reply.message else replace(reply, message=message)


def _without_end(message: str, secret: str) -> str:
    """A long token is longer than a message: what was cut off with the message, or with the body, is taken out too."""
    text = message.removesuffix("...")
    start = text.find(secret[:8])
    while start >= 0 and not secret.startswith(text[start:]):
        start = text.find(secret[:8], start + 1)
    return message if start < 0 else f"{text[:start]}***"


def _unreachable(error: Exception, elapsed: float) -> Reply:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _refused_by_proxy(error, elapsed)
    bad_certificate = isinstance(error, aiohttp.ClientConnectorCertificateError)
    timed_out = isinstance(error, TimeoutError)
    text = f"no answer within {elapsed:.1f} s" if timed_out else one_line(str(error)) or type(error).__name__
    never_sent = isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError))
    return Reply(
        Verdict.UNREACHABLE, message=text, retryable=not bad_certificate, timed_out=timed_out, lost=not never_sent,
        elapsed=elapsed,
    )  # fmt: skip


def _refused_by_proxy(error: aiohttp.ClientHttpProxyError, elapsed: float) -> Reply:
    """The proxy opened no tunnel. Only its 407 is an answer: its 404 says nothing of a protection group."""
    text = one_line(f"the proxy answered {error.status} {error.message}")
    if error.status == 407:
        return Reply(Verdict.REJECTED, 407, message=text, elapsed=elapsed)
    return Reply(Verdict.UNREACHABLE, message=text, elapsed=elapsed)
