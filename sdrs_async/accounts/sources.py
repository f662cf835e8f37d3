"""Which credential the arguments, the environment and the files name. Nothing is sent here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

from sdrs_async.auth import Auth
from sdrs_async.credentials.keys import AkSk, StaticToken, WrittenKeys
from sdrs_async.credentials.keystone import KeystoneAuth
from sdrs_async.credentials.keystone.cloud import NO_REGION, Cloud, CloudKey
from sdrs_async.credentials.keystone.sources import CloudSource, in_files
from sdrs_async.credentials.vendor_sdk import HuaweiAuth, from_file, usual_file
from sdrs_async.errors import ConfigError, placed
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.transport.redaction import shown_key


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
_NO_CLOUD = "no cloud is named (Account.from_cloud, --os-cloud, OS_CLOUD)"
_NO_TOKEN = f"{_TOKENS[0]} is not set in the environment, and neither is {_TOKENS[1]}"
_NO_USER = f"OS_AUTH_URL is not set together with a user ({', '.join(_USERS)})"
_NO_FILE = "there is no ~/.huaweicloud/credentials"


class Source(NamedTuple):
    """One way to a credential. `name`: of its account; `kind`: in words; `make`: from the region, as far as known.

    `iam_endpoint`: where it is known by the environment, unless the credential itself says so; `region`: what stands
    beside it in the environment; `signs`: it can sign in the older form; `files`: those that it is read from, each with
    what names it.
    """

    name: str
    kind: str
    make: Callable[[str | None], Auth]
    iam_endpoint: str | None = None
    signs: bool = False
    region: str | None = None
    files: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """Which account is asked for; what is not said follows from files and environment.

    `os_cloud`, `credential` and `signature`: its credential, unless a fleet file names that; `retry`: how long and how
    often IAM is asked; the others as of `Account`. `given`: what of this, and of the limits, was said expressly.
    """

    endpoint: str | None = None
    region: str | None = None
    iam_endpoint: str | None = None
    os_cloud: str | None = None
    credential: CredentialKind = CredentialKind.AUTO
    signature: Signature = Signature.ACCESS
    ca_file: str | None = None
    allow_http: bool = False
    limits: Limits = field(default_factory=Limits)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    given: Mapping[str, Any] = field(default_factory=dict)


# ---- credentials by reference, as a fleet file and the environment have them: each field with what may stand there

_NAME: Mapping[str, Any] = {"is": "name", "like": "NAME"}
VARIABLE: Mapping[str, Any] = {"is": "variable", "like": "VARIABLE"}
_FILE: Mapping[str, Any] = {"is": "file", "like": "FILE"}


def _word(*words: str, hint: str = "") -> Any:
    return field(default=words[0], metadata={"is": "word", "like": words[0], "words": words, "hint": hint})


@dataclass(frozen=True, slots=True)
class OsCloud:
    """A cloud of clouds.yaml, by its name: its sign-in, or its access key where it has nothing else."""

    name: str = field(metadata=_NAME)

    def source(self, asked: Asked, environ: Mapping[str, str]) -> Source:
        """Raises `ConfigError` for a cloud that cannot be read."""
        return _of_cloud(in_files(self.name), asked)


@dataclass(frozen=True, slots=True)
class Token:
    """An IAM token, by the variable that holds it."""

    token_env: str = field(metadata=VARIABLE)

    def source(self, asked: Asked, environ: Mapping[str, str]) -> Source:
        """Named by its variable."""

        def make(region: str | None) -> Auth:
            with placed(self.token_env):
                return StaticToken(environ[self.token_env])

        return Source(self.token_env, "token", make)


@dataclass(frozen=True, slots=True)
class Keys:
    """An access key and its secret key, each by the variable that holds it.

    `form`: how requests are signed, `access` (the SDKs' usual `Access=`) or `credential` (the older `Credential=`,
    which signs for a region).
    """

    access_key_env: str = field(metadata=VARIABLE)
    secret_key_env: str = field(metadata=VARIABLE)
    security_token_env: str | None = field(default=None, metadata=VARIABLE)
    form: str = _word("access", "credential")

    def source(self, asked: Asked, environ: Mapping[str, str]) -> Source:
        """Named by the beginning of the access key."""
        make = partial(self._signer, environ)
        return Source(f"access key {shown_key(environ.get(self.access_key_env, ''))}", "access key", make, signs=True)

    def _signer(self, environ: Mapping[str, str], region: str | None) -> Auth:
        if self.form == "credential" and region is None:
            raise ConfigError(NO_REGION)
        variables = self.access_key_env, self.secret_key_env, self.security_token_env or ""
        found = WrittenKeys.of(environ, variables, where=" in the environment")
        if found is None:
            raise ConfigError(f"{' and '.join(variables[:2])} are missing in the environment")
        found.check(variables)
        return AkSk(*found, scope=_scope(region, self.form))


@dataclass(frozen=True, slots=True)
class HuaweiChain:
    """What the chain of the vendor's SDK finds: identity provider, environment, profile, the machine's metadata."""

    what: str = _word("chain", hint="; for a credentials file use huawei_profile")

    def source(self, asked: Asked, environ: Mapping[str, str]) -> Source:
        """Nothing is looked for before the first sign-in."""

        def make(region: str | None) -> Auth:
            return HuaweiAuth.from_chain(scope=_scope(region, asked.signature), ca_file=asked.ca_file)

        return Source("huawei chain", "access key of the vendor's chain", make, signs=True)


@dataclass(frozen=True, slots=True)
class HuaweiProfile:
    """A credentials file of the vendor's SDK."""

    path: str = field(metadata=_FILE)

    def source(self, asked: Asked, environ: Mapping[str, str]) -> Source:
        """Its keys are read when the credential is made."""
        files = (("huawei_profile", self.path),)
        return Source("credentials file", "access key", lambda region: from_file(self.path), files=files)


Credential = OsCloud | Token | Keys | HuaweiChain | HuaweiProfile
REFERENCES: Mapping[str, type[Credential]] = {
    "os_cloud": OsCloud,
    "token_env": Token,
    "ak_sk": Keys,
    "huawei": HuaweiChain,
    "huawei_profile": HuaweiProfile,
}
"""By the key of a fleet file's `credential` what it refers to: a table of the fields, or the only one of these."""

# ---- what is there

# Variables: of an access key, of its IAM, and of its region. The first to use first: of the vendor's SDK, of Open
# Telekom Cloud's tools, of the vendor's Terraform provider.
_FAMILIES = (
    (Keys("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN"), (_IAM,), ""),
    (Keys("OS_ACCESS_KEY", "OS_SECRET_KEY", "OS_SECURITY_TOKEN"), ("OS_AUTH_URL", _IAM), ""),
    (Keys("HW_ACCESS_KEY", "HW_SECRET_KEY", "HW_SECURITY_TOKEN"), ("HW_AUTH_URL", _IAM), "HW_REGION_NAME"),
)
_NO_KEYS = f"none of {', '.join(f'{keys.access_key_env} and {keys.secret_key_env}' for keys, *_ in _FAMILIES)} are set"


def choose(asked: Asked, environ: Mapping[str, str]) -> tuple[Source, list[str]]:
    """The credential to use, and the names of the others that are there.

    Raises `ConfigError` when there is none, naming what was looked for, and when flags do not go together.
    """
    if asked.os_cloud is not None and asked.credential in (CredentialKind.TOKEN, CredentialKind.HUAWEI):
        raise ConfigError(
            f"a cloud (--os-cloud) is one credential and {asked.credential} (credential, --credential) another: "
            "give one of them"
        )
    found = list(_found(asked, environ, _read_cloud(asked, environ)))
    if not found:
        raise ConfigError(_MISSING[asked.credential])
    first, *others = found
    if asked.signature is Signature.CREDENTIAL and not first.signs:
        raise ConfigError(
            "a form of signature (signature, --signature) is for access keys, and the credential is "
            f"{first.name} ({first.kind})"
        )
    return first, [source.name for source in others] if asked.credential is CredentialKind.AUTO else []


def _read_cloud(asked: Asked, environ: Mapping[str, str]) -> CloudSource | None:
    """The cloud that is asked for, or else the environment's; it is read once, for its file may be a pipe."""
    name = asked.os_cloud if asked.os_cloud is not None else environ.get("OS_CLOUD") or None
    if name is None or asked.credential in (CredentialKind.TOKEN, CredentialKind.HUAWEI):
        return None
    try:
        return in_files(name)
    except ConfigError:
        if asked.credential is CredentialKind.AK_SK and asked.os_cloud is None:  # it is not the cloud that is asked for
            return None
        raise


def _found(asked: Asked, environ: Mapping[str, str], of: CloudSource | None) -> Iterator[Source]:
    """What is there of what is asked for, the first to use first; `of`: the cloud that is named."""
    for kind, look in _WAYS:
        if asked.credential in (CredentialKind.AUTO, kind):
            yield from look(asked, environ, of)


def _cloud(asked: Asked, environ: Mapping[str, str], of: CloudSource | None) -> list[Source]:
    return [] if of is None else [_of_cloud(of, asked)]


def _token(asked: Asked, environ: Mapping[str, str], of: CloudSource | None) -> Iterator[Source]:
    values = {environ[name]: name for name in reversed(_TOKENS) if environ.get(name)}  # one token under both is one
    iam = environ.get("OS_AUTH_URL") or environ.get(_IAM) or None
    for name in reversed(values.values()):
        yield Token(name).source(asked, environ)._replace(iam_endpoint=iam)


def _keys(asked: Asked, environ: Mapping[str, str], of: CloudSource | None) -> Iterator[Source]:
    if asked.credential is CredentialKind.AK_SK and asked.os_cloud is not None:
        return
    for names, iam_endpoints, region in _FAMILIES:
        if environ.get(names.access_key_env) or environ.get(names.secret_key_env):
            source = replace(names, form=asked.signature.value).source(asked, environ)
            iam = next(filter(None, map(environ.get, iam_endpoints)), None)
            yield source._replace(iam_endpoint=iam, region=environ.get(region) or None)


def _key_beside(asked: Asked, environ: Mapping[str, str], of: CloudSource | None) -> Iterator[Source]:
    """The key that a cloud has beside its sign-in, for who asks for it."""
    if of is None:
        return
    keys = None
    if asked.credential is CredentialKind.AK_SK:
        keys = of.keys
        if keys is None and asked.os_cloud is not None:
            raise ConfigError(f"{of.label} has no access key: no ak and sk, and no access_key and secret_key")
    elif of.signs_in:
        with suppress(ConfigError):  # it is not used
            keys = of.keys
    if keys is not None:
        source = _signing(of, keys, asked)
        yield source._replace(name=f"access key {shown_key(keys.access_key)} of cloud {of.name}")


def _user(asked: Asked, environ: Mapping[str, str], of: CloudSource | None) -> Iterator[Source]:
    name = next((variable for variable in _USERS if environ.get(variable)), None)
    if name is not None and environ.get("OS_AUTH_URL") and not environ.get("OS_CLOUD"):

        def make(region: str | None) -> Auth:
            return KeystoneAuth.from_env(
                region=region, sign_in_timeout=asked.retry.timeout, allow_http=asked.allow_http, ca_file=asked.ca_file
            )

        yield Source(name, "sign-in with the OS_* variables", make)


def _vendor(asked: Asked, environ: Mapping[str, str], of: CloudSource | None) -> Iterator[Source]:
    if (path := usual_file(environ)) is not None:
        auth = from_file(path)
        yield Source("credentials file", "access key", lambda region: auth, environ.get(_IAM) or None)
    elif asked.credential is CredentialKind.HUAWEI:
        yield HuaweiChain().source(asked, environ)._replace(iam_endpoint=environ.get(_IAM) or None)


_WAYS = (
    (CredentialKind.OPENSTACK, _cloud),
    (CredentialKind.TOKEN, _token),
    (CredentialKind.AK_SK, _keys),
    (CredentialKind.AK_SK, _key_beside),
    (CredentialKind.OPENSTACK, _user),
    (CredentialKind.HUAWEI, _vendor),
)
"""How each kind that the flag names is looked for, the first to use first."""
_MISSING = {
    CredentialKind.AUTO: f"no credential was found: {_NO_CLOUD}; {_NO_TOKEN}; {_NO_KEYS}; {_NO_USER}; {_NO_FILE}",
    CredentialKind.TOKEN: f"no token: {_NO_TOKEN} (for one, see: openstack token issue)",
    CredentialKind.AK_SK: f"no access key: {_NO_KEYS}",
    CredentialKind.OPENSTACK: f"nobody to sign in as: {_NO_CLOUD}; {_NO_USER}",
}


def _of_cloud(of: CloudSource, asked: Asked) -> Source:
    def make(region: str | None) -> Auth:
        cloud = Cloud.of(of, region, allow_http=asked.allow_http, ca_file=asked.ca_file)
        return KeystoneAuth(cloud, sign_in_timeout=asked.retry.timeout)

    if not of.signs_in and (keys := of.keys) is not None:
        return _signing(of, keys, asked)
    return Source(f"cloud {of.name}", "sign-in of clouds.yaml", make)


def _signing(of: CloudSource, keys: WrittenKeys, asked: Asked) -> Source:
    def make(region: str | None) -> Auth:
        return CloudKey(of, keys, region, service, allow_http=asked.allow_http)

    service = _SERVICE if asked.signature is Signature.CREDENTIAL else None
    return Source(f"cloud {of.name}", "access key of clouds.yaml", make, signs=True)


def _scope(region: str | None, form: str) -> tuple[str, str] | None:
    """Region and service, for the older form of signature."""
    return (region or "", _SERVICE) if form == Signature.CREDENTIAL else None
