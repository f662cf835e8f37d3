"""Which credential the flags, the environment and the files name. Nothing is sent here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sdrs_async.auth import AkSk, Auth, StaticToken, check_secret
from sdrs_async.command.flags import CredentialKind, Signature
from sdrs_async.errors import ConfigError
from sdrs_async.fleet_file import Keys
from sdrs_async.huawei import HuaweiAuth, from_file
from sdrs_async.keystone import KeystoneAuth

__all__ = ["Asked", "Source", "chain", "choose", "cloud", "keys", "profile", "token"]

# The service's part of the older form of signature.
_SERVICE = "sdrs"
_TOKEN = "OS_TOKEN"  # noqa: S105 - its variable
_IAM = "HUAWEICLOUD_SDK_IAM_ENDPOINT"
_VENDOR_KEYS = ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN")
_OS_KEYS = ("OS_ACCESS_KEY", "OS_SECRET_KEY", "OS_SECURITY_TOKEN")
_USERS = ("OS_USERNAME", "OS_USER_ID", "OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_NAME")
_NO_TOKEN = "OS_TOKEN is not set in the environment"  # noqa: S105
_NO_KEYS = "neither HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK nor OS_ACCESS_KEY and OS_SECRET_KEY are set"
_NO_USER = f"OS_AUTH_URL is not set together with a user ({', '.join(_USERS)})"
_NO_FILE = "there is no ~/.huaweicloud/credentials"


class Source(NamedTuple):
    """One way to a credential. `name`: of its account; `kind`: in words; `make`: from the region, as far as known.

    `iam_endpoint`: where it is known by the environment, unless the credential itself says so; `signs`: it can sign in
    the older form.
    """

    name: str
    kind: str
    make: Callable[[str | None], Auth]
    iam_endpoint: str | None = None
    signs: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What the flags ask for. `timeout`: seconds for one sign-in."""

    kind: CredentialKind = CredentialKind.AUTO
    os_cloud: str | None = None
    signature: Signature = Signature.ACCESS
    timeout: float = 30.0
    allow_http: bool = False
    ca_file: str | None = None


def choose(asked: Asked, environ: Mapping[str, str]) -> tuple[Source, list[str]]:
    """The credential to use, and the names of the others that are there.

    Raises `ConfigError` when there is none, naming what was looked for, and when flags do not go together.
    """
    if asked.os_cloud is not None and asked.kind not in (CredentialKind.AUTO, CredentialKind.OPENSTACK):
        raise ConfigError(f"--os-cloud is one credential and --credential {asked.kind} another: use one of the flags")
    found = list(_found(asked, environ))
    if not found:
        raise ConfigError(_MISSING[asked.kind])
    first, *others = found
    if asked.signature is Signature.CREDENTIAL and not first.signs:
        raise ConfigError(f"--signature is for access keys, and the credential is {first.name} ({first.kind})")
    return first, [source.name for source in others] if asked.kind is CredentialKind.AUTO else []


def _found(asked: Asked, environ: Mapping[str, str]) -> Iterator[Source]:
    """What is there of what is asked for, the first to use first."""
    for kind, look in (
        (CredentialKind.OPENSTACK, _cloud),
        (CredentialKind.TOKEN, _token),
        (CredentialKind.AK_SK, _keys),
        (CredentialKind.OPENSTACK, _user),
        (CredentialKind.HUAWEI, _vendor),
    ):
        if asked.kind in (CredentialKind.AUTO, kind):
            yield from look(asked, environ)


def _cloud(asked: Asked, environ: Mapping[str, str]) -> Iterator[Source]:
    name = asked.os_cloud if asked.os_cloud is not None else environ.get("OS_CLOUD") or None
    if name is not None:
        yield cloud(name, timeout=asked.timeout, allow_http=asked.allow_http, ca_file=asked.ca_file)


def _token(asked: Asked, environ: Mapping[str, str]) -> Iterator[Source]:
    if environ.get(_TOKEN):
        yield token(_TOKEN, environ)._replace(iam_endpoint=environ.get("OS_AUTH_URL") or environ.get(_IAM) or None)


def _keys(asked: Asked, environ: Mapping[str, str]) -> Iterator[Source]:
    for names, iam in ((_VENDOR_KEYS, environ.get(_IAM)), (_OS_KEYS, environ.get("OS_AUTH_URL") or environ.get(_IAM))):
        if environ.get(names[0]) or environ.get(names[1]):
            yield keys(Keys(*names, asked.signature.value), environ)._replace(iam_endpoint=iam or None)


def _user(asked: Asked, environ: Mapping[str, str]) -> Iterator[Source]:
    name = next((variable for variable in _USERS if environ.get(variable)), None)
    if name is not None and environ.get("OS_AUTH_URL") and not environ.get("OS_CLOUD"):

        def make(region: str | None) -> Auth:
            return KeystoneAuth.from_env(
                region=region, sign_in_timeout=asked.timeout, allow_http=asked.allow_http, ca_file=asked.ca_file
            )

        yield Source(name, "sign-in with the OS_* variables", make)


def _vendor(asked: Asked, environ: Mapping[str, str]) -> Iterator[Source]:
    auth = from_file(environ=environ)
    if auth is not None:
        yield Source("credentials file", "access key", lambda region: auth, environ.get(_IAM) or None)
    elif asked.kind is CredentialKind.HUAWEI:
        found = chain(scoped=asked.signature is Signature.CREDENTIAL, ca_file=asked.ca_file)
        yield found._replace(iam_endpoint=environ.get(_IAM) or None)


_MISSING = {
    CredentialKind.AUTO: f"no credential was found: no --os-cloud and no OS_CLOUD; {_NO_TOKEN}; {_NO_KEYS}; "
    f"{_NO_USER}; {_NO_FILE}",
    CredentialKind.TOKEN: f"no token: {_NO_TOKEN} (for one, see: openstack token issue)",
    CredentialKind.AK_SK: f"no access key: {_NO_KEYS}",
    CredentialKind.OPENSTACK: f"nobody to sign in as: no --os-cloud and no OS_CLOUD; {_NO_USER}",
}


# ---- each kind, also of a fleet file


def cloud(name: str, *, timeout: float, allow_http: bool, ca_file: str | None) -> Source:
    """A cloud of clouds.yaml."""

    def make(region: str | None) -> Auth:
        return KeystoneAuth.from_cloud(
            name, region=region, sign_in_timeout=timeout, allow_http=allow_http, ca_file=ca_file
        )

    return Source(f"cloud {name}", "sign-in of clouds.yaml", make)


def token(variable: str, environ: Mapping[str, str]) -> Source:
    """A token that a variable holds."""

    def make(region: str | None) -> Auth:
        try:
            return StaticToken(environ[variable])
        except ConfigError as error:
            raise ConfigError(f"{variable}: {error}") from None

    return Source(variable, "token", make)


def keys(named: Keys, environ: Mapping[str, str]) -> Source:
    """An access key and its secret key, each by its variable."""

    def make(region: str | None) -> Auth:
        if scoped and region is None:
            raise ConfigError("--signature credential signs for a region: name it with --region")
        for variable in (named.access_key_env, named.secret_key_env):
            check_secret(variable, environ.get(variable))
        return AkSk(access_key, environ[named.secret_key_env], security_token, scope=_scope(region) if scoped else None)

    scoped = named.form == "credential"
    access_key = environ.get(named.access_key_env, "")
    security_token = environ.get(named.security_token_env or "") or None
    return Source(f"access key {access_key[:4]}...", "access key", make, signs=True)


def profile(path: str, environ: Mapping[str, str]) -> Source:
    """A credentials file of the vendor's SDK."""

    def make(region: str | None) -> Auth:
        auth = from_file(path, environ=environ)
        if auth is None:
            raise ConfigError(f"{path}: there are no keys")
        return auth

    return Source("credentials file", "access key", make)


def chain(*, scoped: bool = False, ca_file: str | None) -> Source:
    """What the vendor's SDK finds by itself."""
    return Source(
        "huawei chain",
        "access key of the vendor's chain",
        lambda region: HuaweiAuth.from_chain(scope=_scope(region) if scoped else None, ca_file=ca_file),
        signs=True,
    )


def _scope(region: str | None) -> tuple[str, str]:
    return region or "", _SERVICE
