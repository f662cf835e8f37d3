"""Which credential the flags, the environment and the files name. Nothing is sent here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from sdrs_async.accounts.fleet_file import Keys
from sdrs_async.auth import Auth
from sdrs_async.credentials.keys import AkSk, StaticToken, WrittenKeys
from sdrs_async.credentials.keystone import KeystoneAuth
from sdrs_async.credentials.keystone.access_key import CloudKey, key_alone, keys_of
from sdrs_async.credentials.keystone.cloud import Cloud
from sdrs_async.credentials.keystone.sources import CloudSource, in_files
from sdrs_async.credentials.vendor_files import from_file
from sdrs_async.credentials.vendor_sdk import HuaweiAuth
from sdrs_async.errors import ConfigError
from sdrs_async.transport.redaction import shown_key

__all__ = ["Asked", "CredentialKind", "Signature", "Source", "chain", "choose", "cloud", "keys", "profile", "token"]


class CredentialKind(StrEnum):
    """Where the credential comes from."""

    AUTO = "auto"
    TOKEN = "token"  # noqa: S105 - the word, not one
    AK_SK = "ak-sk"
    OPENSTACK = "openstack"
    HUAWEI = "huawei"


class Signature(StrEnum):
    """The form in which an access key signs."""

    ACCESS = "access"
    CREDENTIAL = "credential"


# The service's part of the older form of signature.
_SERVICE = "sdrs"
_TOKENS = ("OS_TOKEN", "OS_AUTH_TOKEN")
_IAM = "HUAWEICLOUD_SDK_IAM_ENDPOINT"
_USERS = ("OS_USERNAME", "OS_USER_ID", "OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_NAME")
_NO_TOKEN = f"{_TOKENS[0]} is not set in the environment, and neither is {_TOKENS[1]}"
_NO_USER = f"OS_AUTH_URL is not set together with a user ({', '.join(_USERS)})"
_NO_FILE = "there is no ~/.huaweicloud/credentials"


class _Family(NamedTuple):
    """Variables that hold an access key, as one tool has them. `iam_endpoints`: the first that is there counts."""

    access_key: str
    secret_key: str
    security_token: str
    iam_endpoints: tuple[str, ...]
    region: str | None = None


# The first to use first: of the vendor's SDK, of Open Telekom Cloud's tools, of the vendor's Terraform provider.
_FAMILIES = (
    _Family("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN", (_IAM,)),
    _Family("OS_ACCESS_KEY", "OS_SECRET_KEY", "OS_SECURITY_TOKEN", ("OS_AUTH_URL", _IAM)),
    _Family("HW_ACCESS_KEY", "HW_SECRET_KEY", "HW_SECURITY_TOKEN", ("HW_AUTH_URL", _IAM), "HW_REGION_NAME"),
)
_NO_KEYS = f"none of {', '.join(f'{names.access_key} and {names.secret_key}' for names in _FAMILIES)} are set"


class Source(NamedTuple):
    """One way to a credential. `name`: of its account; `kind`: in words; `make`: from the region, as far as known.

    `iam_endpoint`: where it is known by the environment, unless the credential itself says so; `region`: what stands
    beside it in the environment; `signs`: it can sign in the older form.
    """

    name: str
    kind: str
    make: Callable[[str | None], Auth]
    iam_endpoint: str | None = None
    signs: bool = False
    region: str | None = None


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
    if asked.os_cloud is not None and asked.kind in (CredentialKind.TOKEN, CredentialKind.HUAWEI):
        raise ConfigError(f"--os-cloud is one credential and --credential {asked.kind} another: use one of the flags")
    found = list(_found(asked, environ, _read_cloud(asked, environ)))
    if not found:
        raise ConfigError(_MISSING[asked.kind])
    first, *others = found
    if asked.signature is Signature.CREDENTIAL and not first.signs:
        raise ConfigError(f"--signature is for access keys, and the credential is {first.name} ({first.kind})")
    return first, [source.name for source in others] if asked.kind is CredentialKind.AUTO else []


def _read_cloud(asked: Asked, environ: Mapping[str, str]) -> CloudSource | None:
    """The cloud that the flag names, or else the environment; it is read once, for its file may be a pipe."""
    name = asked.os_cloud if asked.os_cloud is not None else environ.get("OS_CLOUD") or None
    if name is None or asked.kind in (CredentialKind.TOKEN, CredentialKind.HUAWEI):
        return None
    try:
        return in_files(name)
    except ConfigError:
        if asked.kind is CredentialKind.AK_SK and asked.os_cloud is None:  # it is not the cloud that is asked for
            return None
        raise


def _found(asked: Asked, environ: Mapping[str, str], of: CloudSource | None) -> Iterator[Source]:
    """What is there of what is asked for, the first to use first; `of`: the cloud that is named."""
    for kind, look in (
        (CredentialKind.OPENSTACK, _cloud),
        (CredentialKind.TOKEN, _token),
        (CredentialKind.AK_SK, _keys),
        (CredentialKind.AK_SK, _key_beside),
        (CredentialKind.OPENSTACK, _user),
        (CredentialKind.HUAWEI, _vendor),
    ):
        if asked.kind in (CredentialKind.AUTO, kind):
            yield from look(asked, environ, of)


def _cloud(asked: Asked, environ: Mapping[str, str], of: CloudSource | None) -> Iterator[Source]:
    if of is not None:
        yield _of_cloud(
            of, timeout=asked.timeout, allow_http=asked.allow_http, ca_file=asked.ca_file, signature=asked.signature
        )


def _token(asked: Asked, environ: Mapping[str, str], of: CloudSource | None) -> Iterator[Source]:
    values = {environ[name]: name for name in reversed(_TOKENS) if environ.get(name)}  # one token under both is one
    for name in reversed(values.values()):
        yield token(name, environ)._replace(iam_endpoint=environ.get("OS_AUTH_URL") or environ.get(_IAM) or None)


def _keys(asked: Asked, environ: Mapping[str, str], of: CloudSource | None) -> Iterator[Source]:
    if asked.kind is CredentialKind.AK_SK and asked.os_cloud is not None:
        return
    for names in _FAMILIES:
        if environ.get(names.access_key) or environ.get(names.secret_key):
            yield _of_family(names, asked, environ)


def _of_family(names: _Family, asked: Asked, environ: Mapping[str, str]) -> Source:
    named = Keys(names.access_key, names.secret_key, names.security_token, asked.signature.value)
    iam = next((found for name in names.iam_endpoints if (found := environ.get(name))), None)
    region = environ.get(names.region) or None if names.region else None
    return keys(named, environ)._replace(iam_endpoint=iam, region=region)


def _key_beside(asked: Asked, environ: Mapping[str, str], of: CloudSource | None) -> Iterator[Source]:
    """The key that a cloud has beside its sign-in, for who asks for it."""
    if of is None:
        return
    keys = None
    if asked.kind is CredentialKind.AK_SK:
        keys = keys_of(of)
        if keys is None and asked.os_cloud is not None:
            raise ConfigError(f"{of.label} has no access key: no ak and sk, and no access_key and secret_key")
    elif key_alone(of) is None:
        with suppress(ConfigError):  # it is not used
            keys = keys_of(of)
    if keys is not None:
        source = _signing(of, keys, asked.signature, asked.allow_http)
        yield source._replace(name=f"access key {shown_key(keys.access_key)} of cloud {of.name}")


def _user(asked: Asked, environ: Mapping[str, str], of: CloudSource | None) -> Iterator[Source]:
    name = next((variable for variable in _USERS if environ.get(variable)), None)
    if name is not None and environ.get("OS_AUTH_URL") and not environ.get("OS_CLOUD"):

        def make(region: str | None) -> Auth:
            return KeystoneAuth.from_env(
                region=region, sign_in_timeout=asked.timeout, allow_http=asked.allow_http, ca_file=asked.ca_file
            )

        yield Source(name, "sign-in with the OS_* variables", make)


def _vendor(asked: Asked, environ: Mapping[str, str], of: CloudSource | None) -> Iterator[Source]:
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
    """A cloud of clouds.yaml: its sign-in, or its access key where it has nothing else. Raises `ConfigError`."""
    return _of_cloud(in_files(name), timeout=timeout, allow_http=allow_http, ca_file=ca_file)


def _of_cloud(
    of: CloudSource,
    *,
    timeout: float,
    allow_http: bool,
    ca_file: str | None,
    signature: Signature = Signature.ACCESS,
) -> Source:
    def make(region: str | None) -> Auth:
        return KeystoneAuth(Cloud.of(of, region, allow_http=allow_http, ca_file=ca_file), sign_in_timeout=timeout)

    keys = key_alone(of)
    if keys is not None:
        return _signing(of, keys, signature, allow_http)
    return Source(f"cloud {of.name}", "sign-in of clouds.yaml", make)


def _signing(of: CloudSource, keys: WrittenKeys, signature: Signature, allow_http: bool) -> Source:
    def make(region: str | None) -> Auth:
        return CloudKey(of, keys, region, service, allow_http=allow_http)

    service = _SERVICE if signature is Signature.CREDENTIAL else None
    return Source(f"cloud {of.name}", "access key of clouds.yaml", make, signs=True)


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
        found = WrittenKeys.of(environ, variables, where=" in the environment")
        if found is None:
            raise ConfigError(f"{' and '.join(variables[:2])} are missing in the environment")
        found.check(variables)
        return AkSk(*found, scope=_scope(region) if scoped else None)

    scoped = named.form == "credential"
    variables = named.access_key_env, named.secret_key_env, named.security_token_env or ""
    return Source(f"access key {shown_key(environ.get(variables[0], ''))}", "access key", make, signs=True)


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
