"""The wire: one `send` is one request and one classified reply. The only client-side code that knows aiohttp."""

from __future__ import annotations

import ipaddress
import logging
import ssl
import time
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment

import aiohttp
from yarl import URL

from sdrs_async.auth import Auth
from sdrs_async.errors import AuthenticationError, ConfigError
from sdrs_async.models import Reply, Request, RetryPolicy, Target, Verdict
from sdrs_async.wire import classify, group_failures_path, parse_error, parse_retry_after, parse_throttle

__all__ = ["Client", "check_endpoint"]

log = logging.getLogger("sdrs_async")

_MAX_ERROR_BODY = 64 * 1024
_CONNECT_TIMEOUT = 10.0
_REQUEST_IDS = ("X-Request-Id", "X-IAM-Trace-Id")


def check_endpoint(endpoint: str, *, allow_http: bool = False) -> str:
    """The endpoint as `scheme://host[:port][/prefix]`, or `ConfigError`.

    Plain http is for this machine only: elsewhere a credential would cross the network in the clear.
    """
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"endpoint {endpoint!r} is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(f"endpoint {endpoint!r} is not a URL like https://sdrs.eu-de.otc.t-systems.com")
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigError("the endpoint is scheme, host and port only: no user, query or fragment in it")
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        raise ConfigError(f"endpoint {endpoint!r} would send the credential unencrypted: use https, or --allow-http")
    return endpoint.rstrip("/").removesuffix("/v1")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Client:
    """One aiohttp session for one run, used as an async context manager.

    `concurrency` sizes the connection pool, so that no request waits for a connection inside its own time. `ca_file`
    replaces the system's certificates; they are always checked. Proxies come from the environment, netrc never.
    """

    def __init__(
        self,
        endpoint: str,
        auth: Auth,
        *,
        concurrency: int | None,
        retry: RetryPolicy,
        ca_file: str | None = None,
        allow_http: bool = False,
    ) -> None:
        self.endpoint = check_endpoint(endpoint, allow_http=allow_http)
        self._auth = auth
        self._concurrency = concurrency
        self._timeout = _timeouts(retry.timeout)
        self._tls = _tls_context(ca_file) if self.endpoint.startswith("https") else True

    async def __aenter__(self) -> Self:
        pool = self._concurrency or 0
        connector = aiohttp.TCPConnector(limit=pool, limit_per_host=pool, ssl=self._tls)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            headers={"User-Agent": "sdrs-async"},
            # aiohttp's own reading of the environment (trust_env) would also send what ~/.netrc holds.
            trust_env=False,
            proxy=_proxy_of(self.endpoint),
        )
        # aiohttp sends a DELETE a second time by itself when a kept-alive connection closes. That breaks the pacing's
        # proof and the count of tries, and a signature may be too old by then. There is no public switch (aiohttp
        # client.py, `retry_persistent_connection`); tests/test_client.py counts arrivals to notice when this changes.
        self._session._retry_connection = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def send(self, target: Target, timeout: float) -> Reply:  # noqa: ASYNC109 - aiohttp enforces it
        """Delete the failed tasks of one protection group: one request, one reply.

        `timeout` is in seconds. What a server or network does is data; `ConfigError` only for an id that is refused.
        """
        request = Request("DELETE", self.endpoint + group_failures_path(target))
        try:
            headers = await self._auth.sign(request, target.project_id)
        except AuthenticationError as error:
            return Reply(Verdict.UNAUTHORIZED, message=str(error), retryable=False)
        started = time.perf_counter()
        try:
            reply = await self._exchange(request, headers, timeout, started)
        except (aiohttp.ClientError, OSError) as error:
            reply = _unreachable(error, time.perf_counter() - started)
        if reply.verdict is Verdict.UNAUTHORIZED and not self._auth.invalidate(target.project_id, headers):
            reply = replace(reply, retryable=False)
        if log.isEnabledFor(logging.DEBUG):
            log.debug(
                "DELETE %s -> %s %s in %.0f ms, request id %s",
                request.url, reply.status_code, reply.verdict, reply.elapsed * 1000, reply.request_id,
            )  # fmt: skip
        return reply

    async def _exchange(self, request: Request, headers: Mapping[str, str], seconds: float, started: float) -> Reply:
        timeout = self._timeout if seconds >= (self._timeout.total or 0) else _timeouts(seconds)
        url = URL(request.url, encoded=True)
        async with self._session.request(
            request.method, url, headers=headers, allow_redirects=False, timeout=timeout
        ) as response:
            elapsed = time.perf_counter() - started
            request_id = _request_id(response.headers)
            if 200 <= response.status < 300:
                return Reply(Verdict.DELETED, response.status, request_id=request_id, elapsed=elapsed)
            body = await _read_some(response)
            reply = _read_reply(response, body, request_id, elapsed)
            return _without_secrets(reply, headers)


def _timeouts(seconds: float) -> aiohttp.ClientTimeout:
    connect = min(_CONNECT_TIMEOUT, seconds)
    return aiohttp.ClientTimeout(total=seconds, sock_connect=connect, sock_read=seconds)


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the CA file {ca_file!r} cannot be used: {error}") from None


def _proxy_of(endpoint: str) -> str | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name for this endpoint."""
    parts = urlsplit(endpoint)
    proxies = getproxies_environment()
    if proxy_bypass_environment(parts.netloc, proxies):
        return None
    return proxies.get(parts.scheme)


async def _read_some(response: aiohttp.ClientResponse) -> bytes:
    """The first 64 KiB of an error body; what a cut-off body had until then."""
    body = bytearray()
    try:
        while len(body) < _MAX_ERROR_BODY:
            chunk = await response.content.read(_MAX_ERROR_BODY - len(body))
            if not chunk:
                return bytes(body)
            body += chunk
    except aiohttp.ClientError:
        # The status line came, and it decides; the rest of the body is not worth losing it for.
        pass
    response.close()
    return bytes(body)


def _read_reply(response: aiohttp.ClientResponse, body: bytes, request_id: str | None, elapsed: float) -> Reply:
    error = parse_error(body)
    scope, window = parse_throttle(error.message)
    return Reply(
        verdict=classify(response.status, error.code),
        status_code=response.status,
        error_code=error.code,
        message=error.message or response.reason or "",
        request_id=request_id or error.request_id,
        retry_after=parse_retry_after(response.headers.get("Retry-After")),
        scope=scope,
        window=window,
        elapsed=elapsed,
    )


def _request_id(headers: Mapping[str, str]) -> str | None:
    found = (headers.get(name) for name in _REQUEST_IDS)
    return next((value[:100] for value in found if value and value.isprintable()), None)


def _without_secrets(reply: Reply, headers: Mapping[str, str]) -> Reply:
    """A gateway may echo what it refused; the credential must not travel on in a message."""
    message = reply.message
    for secret in headers.values():
        if len(secret) > 3:
            message = message.replace(secret, "***")
    return reply if message == reply.message else replace(reply, message=message)


def _unreachable(error: Exception, elapsed: float) -> Reply:
    bad_certificate = isinstance(error, aiohttp.ClientConnectorCertificateError)
    timed_out = isinstance(error, TimeoutError)
    text = "no answer within the time" if timed_out else str(error) or type(error).__name__
    return Reply(Verdict.UNREACHABLE, message=text, retryable=not bad_certificate, timed_out=timed_out, elapsed=elapsed)
