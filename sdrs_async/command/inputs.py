"""The files that a run reads, so that it writes over none of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from sdrs_async.accounts.connecting import Connection
from sdrs_async.command.options import Wanted
from sdrs_async.command.outputs import Named
from sdrs_async.credentials.keystone import KeystoneAuth
from sdrs_async.credentials.keystone.cloud import CloudKey

# Read by this package, openstacksdk, the vendor's SDK, Python and requests, in this order.
_VARIABLES = (
    *("OS_CACERT", "HUAWEICLOUD_SDK_CREDENTIALS_FILE"),
    *("OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE", "OS_CLIENT_VENDOR_FILE", "OS_CERT", "OS_KEY"),
    *("HUAWEICLOUD_SDK_ID_TOKEN_FILE", "HUAWEICLOUD_OIDC_TOKEN_FILE", "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)
# What is made of a cloud of clouds.yaml.
_OF_CLOUDS = (KeystoneAuth, CloudKey)


def inputs(selected: Wanted, connection: Connection, environ: Mapping[str, str]) -> Iterator[Named]:
    """What names each of the files, and its path; there may be none at that path."""
    given = {"--targets": selected.targets, "--fleet": selected.fleet}
    variables = {name: environ.get(name) for name in _VARIABLES}
    yield from ((name, path) for name, path in {**given, **variables}.items() if path)
    for account in connection.pending:
        if account.ca_file:
            yield ("ca_file" if connection.fleet_file else "--ca-file"), account.ca_file
        yield from account.files
    yield from _usual(connection, environ)


def _usual(connection: Connection, environ: Mapping[str, str]) -> Iterator[Named]:
    """What is looked for where nothing names it."""
    if home := environ.get("HOME") or environ.get("USERPROFILE"):
        yield "the credentials file", str(Path(home, ".huaweicloud", "credentials"))
    if any(isinstance(account.auth, _OF_CLOUDS) for account in connection.pending):
        from openstack.config import loader

        for path in (*loader.CONFIG_FILES, *loader.SECURE_FILES, *loader.VENDOR_FILES):
            yield "a file of clouds", path
