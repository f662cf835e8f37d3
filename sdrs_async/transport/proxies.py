"""Which proxy stands on the way: one decision for all libraries, which differ, by the rules of docs/settings.md."""

from __future__ import annotations

import ipaddress
import os
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, getproxies_environment, proxy_bypass

from yarl import URL

from sdrs_async.errors import ConfigError

USUAL_PORTS = {"http": 80, "https": 443}
_LIKE = "http://proxy.example.com:3128"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_HOST = re.compile(r"[\w.-]+|[\da-f:.]+(?:%\w+)?", re.IGNORECASE | re.ASCII)


class Proxy(NamedTuple):
    """A proxy. `url`: with user and password, which no text may show; `variable`: what names it."""

    url: URL
    variable: str

    def __repr__(self) -> str:
        return f"Proxy({self.url.origin()}, {self.variable})"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that give it its user and password."""
        if self.url.user is None and self.url.password is None:
            return {}
        packed = b64encode(f"{self.url.user or ''}:{self.url.password or ''}".encode()).decode()
        return {"Proxy-Authorization": f"Basic {packed}"}


def is_loopback(host: str) -> bool:
    """Whether this host is this machine itself, by its name or address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def proxy_of(url: str) -> Proxy | None:
    """The proxy that the environment names for a URL. Raises `ConfigError` for what is none that can be used.

    None for this machine itself: plain http is allowed on loopback because it stays here.
    """
    if not getproxies_environment() and proxy_bypass(urlsplit(url).netloc):  # settings of macOS and Windows
        return None
    kind = chosen(url, settings := proxy_settings())
    return _parsed(settings[kind], _variable(kind) or f"{kind}_proxy".upper()) if kind is not None else None


def proxy_settings() -> dict[str, str]:
    """What the variables say, by scheme, `all` and `no`; without any, the settings of macOS and Windows."""
    named = {kind: _variable(kind) for kind in ("http", "https", "all", "no")}
    return {kind: os.environ[name] for kind, name in named.items() if name is not None} or getproxies()


def _variable(kind: str) -> str | None:
    """The variable that counts. urllib's reading lets an empty one in small letters hide the one in large."""
    small = f"{kind}_proxy"
    # Of a CGI script HTTP_PROXY is what a browser sent as `Proxy:`.
    spellings = [small] if kind == "http" and "REQUEST_METHOD" in os.environ else [small, small.upper()]
    return next((name for name in spellings if os.environ.get(name, "").strip()), None)


def chosen(url: str, settings: Mapping[str, str]) -> str | None:
    """Of settings by scheme, with those for `all` and for `no`, which names the proxy for a URL; `None`: no proxy."""
    parts = urlsplit(url)
    host = (parts.hostname or "").removesuffix(".")
    port = parts.port or USUAL_PORTS.get(parts.scheme, 0)
    if is_loopback(host) or _is_excepted(host, port, settings.get("no", "")):
        return None
    return next((kind for kind in (parts.scheme, "all") if settings.get(kind, "").strip()), None)


def _is_excepted(host: str, port: int, listed: str) -> bool:
    entries = filter(None, re.split(r"[\s,]+", listed.lower()))
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return any(_has_name(entry, host, port) for entry in entries)
    return any(_has_address(entry, address, port) for entry in entries)


def _has_name(entry: str, host: str, port: int) -> bool:
    """Whether an entry is this host, or a domain that it is in."""
    name, _, its_port = entry.partition(":")
    domain = name.removeprefix("*").strip(".")
    is_named = host == domain or host.endswith(f".{domain}") if domain else name == "*"
    return is_named and its_port in ("", str(port))


def _has_address(entry: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> bool:
    """Whether an entry is this address, or a network that it is in."""
    found = re.fullmatch(r"(?:\[([^\]]+)\]|([\d./]+|[^\[\]]*:[^\[\]]*:[^\[\]]*))(?::(\d+))?", entry)
    if found is None or found[3] not in (None, str(port)):
        return entry == "*"
    try:
        return address in ipaddress.ip_network(found[1] or found[2], strict=False)
    except ValueError:
        return False


def with_scheme(value: str) -> str:
    """The value of a variable as the URL that it is short for."""
    text = value.strip()
    return text if _SCHEME.match(text) else f"http://{text}"


def _parsed(value: str, variable: str) -> Proxy:
    text = with_scheme(value)
    if text.lower().startswith("socks"):
        raise ConfigError(
            f"{variable} names a SOCKS proxy, and only HTTP proxies can be used: name one like {_LIKE}, or the host in "
            "NO_PROXY if it needs no proxy"
        )
    try:
        text.encode()  # else a byte that is no UTF-8 would go out of the password without a word
        url = URL(text)
        # What follows the port is a bare / or # of a password, whose first half would be taken for a host, or a slip.
        rest = url.raw_path_qs.removeprefix("/") + url.raw_fragment
        usable = url.scheme in USUAL_PORTS and _HOST.fullmatch(url.raw_host or "") and not rest
    except ValueError:
        usable = None
    if not usable:  # not shown: a password may be in it
        raise ConfigError(
            f"{variable} is not the URL of a proxy, like {_LIKE} (in a user or password, percent-encode what is no "
            "letter or digit)"
        )
    return Proxy(url, variable)
