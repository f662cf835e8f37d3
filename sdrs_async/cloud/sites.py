"""Where requests go: endpoints that may be used, each with the proxy on the way."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from yarl import URL

from sdrs_async.errors import ConfigError
from sdrs_async.transport.proxies import USUAL_PORTS, is_loopback, proxy_of

# Brackets around the whole host or nowhere: parsers differ over `evil.com[::1]`, and one of them takes it for loopback.
_URL = re.compile(r"https?://(?:[\w.~-]+|\[[\da-f:.]+\])(?::\d+)?(?:/[\w.:/~-]*)?", re.IGNORECASE | re.ASCII)
# The service catalog's URL of the service ends in its version and the project id; both are added to each request. An
# IAM endpoint is given with its version or without.
_API_ROOT = re.compile(r"/*(?:/v1(?:/[0-9a-z]{32})?|/v3)?/*$")
# Where the id is to be filled in, as catalogs, openstacksdk and the vendor's pages write it.
_PROJECT_PLACE = re.compile(r"(?<=/v1)/+(?:[%$]\((?:project|tenant)_id\)s|\$?\{(?:project|tenant)_id\})/*$")
_PLACE = re.compile(r"[%$]\(|\{")


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
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise ConfigError(f"endpoint {endpoint!r} would send the credential unencrypted: use https, or --allow-http")
    path = re.sub("/+", "/", _without_version(parts.path))
    if {".", ".."} & set(path.split("/")):
        raise ConfigError(f"endpoint {endpoint!r} has a dot for a part of its path: name the path that is meant")
    shown_port = "" if port in (None, USUAL_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{_spelled(host)}{shown_port}{path}"


def without_project(url: str, project_id: str | None) -> str:
    """A URL of the service without the id of this project at its end, whatever form the id has."""
    return url.rstrip("/").removesuffix(f"/{project_id}") if project_id else url


def _spelled(host: str) -> str:
    """A host in the one spelling that tells it from others: limits and duplicates go by it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.removesuffix(".")
    return f"[{address}]" if address.version == 6 else str(address)


def _without_version(path: str) -> str:
    """A path without the versions at its end, so many as there are: what is checked twice stays as it is."""
    while (rest := _API_ROOT.sub("", path, count=1)) != path:
        path = rest
    return path


class Site:
    """One endpoint, checked and taken apart once. `host` goes out as it is here, with the port if it needs one.

    User and password of the `proxy` are in `proxy_headers` alone, since aiohttp shows URLs; `proxy_variable` names it.
    Raises `ConfigError` like `check_endpoint`, and for a proxy that is none.
    """

    def __init__(self, endpoint: str, *, allow_http: bool = False) -> None:
        self.endpoint = check_endpoint(endpoint, allow_http=allow_http)
        self.base = URL(self.endpoint, encoded=True)
        self.root = self.base.raw_path.rstrip("/")
        self.host = self.base.host_port_subcomponent or ""
        self.is_https = self.base.scheme == "https"
        proxy = proxy_of(self.endpoint)
        self.proxy = proxy.url.origin() if proxy else None
        self.proxy_headers = proxy.headers if proxy else {}
        self.proxy_variable = proxy.variable if proxy else f"{self.base.scheme.upper()}_PROXY"
