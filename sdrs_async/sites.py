"""Where requests go: endpoints that may be used, the proxy on the way, and the certificates that are trusted."""

from __future__ import annotations

import ipaddress
import re
import ssl
from base64 import b64encode
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from sdrs_async.errors import ConfigError

__all__ = ["Site", "check_endpoint", "tls_context", "without_project"]

# Brackets around the whole host or nowhere: parsers differ over `evil.com[::1]`, and one of them takes it for loopback.
_URL = re.compile(r"https?://(?:[\w.~-]+|\[[\da-f:.]+\])(?::\d+)?(?:/[\w.:/~-]*)?", re.IGNORECASE | re.ASCII)
# The service catalog's URL of the service ends in its version and the project id; both are added to each request. An
# IAM endpoint is given with its version or without.
_API_ROOT = re.compile(r"/*(?:/v1(?:/[0-9a-z]{32})?|/v3)?/*$")
# Where the id is to be filled in, as catalogs, openstacksdk and the vendor's pages write it.
_PROJECT_PLACE = re.compile(r"(?<=/v1)/+(?:[%$]\((?:project|tenant)_id\)s|\$?\{(?:project|tenant)_id\})/*$")
_PLACE = re.compile(r"[%$]\(|\{")
_USUAL_PORTS = {"http": 80, "https": 443}


def check_endpoint(endpoint: str, *, allow_http: bool = False) -> str:
    """The endpoint as `scheme://host[:port][/prefix]`, spelled in one way, or `ConfigError`.

    Its end may be the version and a project id, or `%(project_id)s` and the like: each request brings its own. Plain
    http is for this machine only: elsewhere a credential would cross the network in the clear.
    """
    if {"@", "?", "#"} & set(endpoint):  # not shown: a password may be in it
        raise ConfigError("the endpoint is scheme, host and port only: no user, query or fragment in it")
    root = _PROJECT_PLACE.sub("", endpoint)
    if _PLACE.search(root):
        raise ConfigError(
            f"endpoint {endpoint!r}: the project id alone is filled in, and at the end alone: write it like "
            "https://sdrs.example.com/v1/%(project_id)s, or without /v1 and what follows"
        )
    try:
        parts = urlsplit(root)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")  # what looking it up does, and fails at
    except ValueError as error:
        raise ConfigError(f"endpoint {endpoint!r} is not a URL: {error}") from None
    if not host or not _URL.fullmatch(root):
        raise ConfigError(f"endpoint {endpoint!r} is not a URL like https://sdrs.eu-de.otc.t-systems.com")
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        raise ConfigError(f"endpoint {endpoint!r} would send the credential unencrypted: use https, or --allow-http")
    path = re.sub("/+", "/", _API_ROOT.sub("", parts.path, count=1))
    if {".", ".."} & set(path.split("/")):
        raise ConfigError(f"endpoint {endpoint!r} has a dot for a part of its path: name the path that is meant")
    shown_port = "" if port in (None, _USUAL_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{_spelled(host)}{shown_port}{path}"


def without_project(url: str, project_id: str | None) -> str:
    """A URL of the service without the id of this project at its end, whatever form the id has."""
    bare = url.rstrip("/")
    return bare.removesuffix(f"/{project_id}") if project_id else url


def _spelled(host: str) -> str:
    """A host in the one spelling that tells it from others: limits and duplicates go by it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.removesuffix(".")
    return f"[{address}]" if address.version == 6 else str(address)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Site:
    """One endpoint, checked and taken apart once. `host` goes out as it is here, with the port if it needs one.

    `proxy` is without user and password, since aiohttp shows URLs in its errors: `proxy_headers` hold them, and are for
    the proxy alone.

    Raises `ConfigError` like `check_endpoint`, and for a proxy in the environment that is none.
    """

    __slots__ = ("base", "endpoint", "host", "is_https", "proxy", "proxy_headers", "root")

    def __init__(self, endpoint: str, *, allow_http: bool = False) -> None:
        self.endpoint = check_endpoint(endpoint, allow_http=allow_http)
        self.base = URL(self.endpoint, encoded=True)
        self.root = self.base.raw_path.rstrip("/")
        self.host = self.base.host_port_subcomponent or ""
        self.is_https = self.base.scheme == "https"
        proxy = _proxy_of(self.endpoint)
        self.proxy = proxy.origin() if proxy else None
        self.proxy_headers = _credential(proxy) if proxy else {}


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """What certificates are checked with: those of this PEM file, or the system's. Raises `ConfigError`."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the CA file {ca_file!r} cannot be used: {error}") from None


def _proxy_of(endpoint: str) -> URL | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name for this endpoint; never one for this machine itself.

    Plain http is allowed on loopback because it stays here: through a proxy it would not. Raises `ConfigError`.
    """
    parts = urlsplit(endpoint)
    if _is_loopback(parts.hostname or "") or proxy_bypass(parts.netloc):
        return None
    named = getproxies().get(parts.scheme)
    if named is None:
        return None
    try:
        proxy = URL(named if "://" in named else f"http://{named}")
        # A password with a bare / or # in it would be cut there, and its first half taken for a host or port.
        usable = proxy.scheme in ("http", "https") and proxy.host and "@" not in f"{proxy.path_qs}{proxy.fragment}"
    except ValueError:
        usable = None
    if not usable:  # not shown: a password may be in it
        raise ConfigError(f"{parts.scheme.upper()}_PROXY is not the URL of a proxy, like http://proxy.example.com:3128")
    return proxy


def _credential(proxy: URL) -> dict[str, str]:
    """The headers that give a proxy its user and password."""
    if proxy.user is None and proxy.password is None:
        return {}
    packed = b64encode(f"{proxy.user or ''}:{proxy.password or ''}".encode()).decode()
    return {"Proxy-Authorization": f"Basic {packed}"}
