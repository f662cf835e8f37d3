"""A cloud: of what is said of it and openstacksdk makes of that, what a sign-in takes, or its access key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from sdrs_async.cloud.sites import Site
from sdrs_async.credentials.keys import AkSk, WrittenKeys
from sdrs_async.credentials.keystone import methods
from sdrs_async.credentials.keystone.methods import names
from sdrs_async.credentials.keystone.settings import Layer, merged, place_of_nothing, refuse_other_than_text
from sdrs_async.credentials.keystone.sources import MOVED, CloudSource, as_config_error, as_the_sdk_reads_it, mapping
from sdrs_async.errors import ConfigError
from sdrs_async.transport.trust import check_client_certificate, trusted

if TYPE_CHECKING:
    from keystoneauth1.loading import Opt
    from openstack.config.cloud_region import CloudRegion

_FileName = str | os.PathLike[str]
NO_REGION = 'signature "credential" signs for a region: give it (region, --region)'
_DOMAINS = {"domain_id", "domain_name", "default_domain_id", "default_domain_name"}


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cloud to sign in to. `label`: its name in messages; `kind`: the sign-in method, `auth`: its options.

    `verify`: whether certificates are checked, or with which file; `cert`: of this client, with its key perhaps.
    """

    label: str
    kind: str
    auth: Mapping[str, Any] = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    region: str | None = None
    interface: str | list[str] = "public"
    endpoint: str | None = None
    verify: bool | str = True
    cert: str | tuple[str, str] | None = None

    @classmethod
    def of(
        cls, source: CloudSource, region: str | None, *, allow_http: bool = False, ca_file: _FileName | None = None
    ) -> Self:
        """What is said of a cloud, checked; `ca_file` wins over what it says of certificates. Raises `ConfigError`."""
        with as_config_error(source.label, source.at):
            if source.place and not source.signs_in and source.keys:
                raise ConfigError(
                    f"{source.label} has an access key and nothing to sign in to IAM with: requests are signed with "
                    "that, AkSk(access_key, secret_key), and no token is needed"
                )
            found = as_the_sdk_reads_it(source, region)
            kind, auth, secrets = _sign_in(source, found)
            verify, cert = found.get_requests_verify_args()
            region, endpoint = _where(source, found, auth["auth_url"], allow_http=allow_http)
            own = _checked_ca(source, found.config, verify, ca_file)
            if cert is not None:
                check_client_certificate(cert)
            interface = found.get_interface("sdrs") or "public"
        return cls(source.label, kind, auth, secrets, region, interface, endpoint, own, cert)

    @property
    def files(self) -> tuple[str, ...]:
        """Those that it names, beside the ones that it is read from: of certificates, and of a key."""
        cert = (self.cert,) if isinstance(self.cert, str) else self.cert or ()
        return (*cert, self.verify) if isinstance(self.verify, str) else cert


class CloudKey(AkSk):
    """An access key that knows its cloud's region, `sdrs_endpoint_override` and certificates (`Auth.verify`).

    `region`: instead of the cloud's; `service`: signs in the older form, for it; `allow_http`: the key may leave this
    machine unencrypted. Raises `ConfigError`.
    """

    def __init__(
        self, source: CloudSource, keys: WrittenKeys, region: str | None, service: str | None, *, allow_http: bool
    ) -> None:
        with as_config_error(source.label, source.at):
            found = as_the_sdk_reads_it(source.without_keys(), region)
            verify, _ = found.get_requests_verify_args()
            self.verify: bool | str = True if verify is None else verify
            iam = _with_scheme(given) if (given := found.config["auth"].get("auth_url")) else None
            self.region, self.endpoint_override = _where(source, found, iam, allow_http=allow_http)
        if service is not None and self.region is None:
            raise ConfigError(NO_REGION)
        keys.check([f"{source.label}{source.at}: its {name.replace('_', ' ')}" for name in keys._fields])
        super().__init__(*keys, scope=(self.region or "", service) if service else None, iam_endpoint=iam)

    @property
    def files(self) -> tuple[str, ...]:
        """What the cloud names of files: its certificates."""
        return (self.verify,) if isinstance(self.verify, str) else ()


def _where(
    source: CloudSource, found: CloudRegion, auth_url: str | None, *, allow_http: bool
) -> tuple[str | None, str | None]:
    """The region, and the service's endpoint where it is said. Raises `ConfigError` for a URL that may not be used."""
    endpoint: str | None = found.get_endpoint("sdrs")
    for setting, url in (("auth_url", auth_url), ("sdrs_endpoint_override", endpoint)):
        try:
            if url is not None:
                Site(url, allow_http=allow_http)  # its proxy, too: requests would show a password in it
        except ConfigError as error:
            raise ConfigError(f"{setting}{source.at}: {error}") from None
    return found.get_region_name("sdrs") or None, endpoint


# ---- what of it is for the sign-in ----------------------------------------------------------------------------------


def _sign_in(source: CloudSource, found: CloudRegion) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """The method, its options as it takes them, and those of these that are secret."""
    beside, inside = _unformatted(source, found), _without_none(source, found.config["auth"])
    given = {**beside, **inside}
    kind = _kind_of(given)
    options = methods.options(kind, given.get("auth_methods"))
    texts = {name for option in options if option.type is str for name in names(option)}
    refuse_other_than_text(source.every_layer, texts | _DOMAINS)
    auth = {option.dest: value for option in options if (value := _value(option, inside, beside)) is not None}
    auth |= {name: methods.as_list(auth[name]) for name in ("auth_methods", "roles") if name in auth}
    if "auth_url" in auth and "auth_url" not in source.flat:
        auth["auth_url"] = _with_scheme(auth["auth_url"])
    auth = _with_domains(kind, auth, given, {option.dest for option in options})
    secret = {option.dest for option in options if option.secret}
    if source.place:
        auth |= _secrets_beside(secret - auth.keys())
    _refuse_missing(source, kind, auth, secret)
    methods.plugin(kind, auth)  # which says what else is wrong
    return kind, auth, tuple(str(auth[name]) for name in secret if name in auth)


def _unformatted(source: CloudSource, found: CloudRegion) -> dict[str, Any]:
    """What is given beside `auth`, as it is given, but for what the SDK moves into it."""
    given = source.settings
    regions = map(mapping, given.get("regions", ()))
    values = (one.get("values", {}) for one in regions if one.get("name") == found.region_name)
    given |= next(values, {})
    return {**found.config, **{name: value for name, value in given.items() if name not in MOVED}}


def _without_none(source: CloudSource, auth: Mapping[str, Any]) -> dict[str, Any]:
    """The SDK makes the word None of what a profile leaves empty."""
    is_word = "None" in source.flat.values()
    return {name: value for name, value in auth.items() if value != "None" or is_word}


def _kind_of(given: Mapping[str, Any]) -> str:
    """The method that is named, or else, of one without a password, that of what is there."""
    kind = str(given["auth_type"])
    if kind not in ("password", "v3password") or given.get("password"):
        return kind
    if given.get("application_credential_secret"):
        return "v3applicationcredential"
    return kind.replace("password", "token") if given.get("token") else kind


def _value(option: Opt, *places: Mapping[str, Any]) -> Any:
    found = (place.get(name) for place in places for name in names(option))
    return next((value for value in found if value not in (None, "")), None)


def _with_scheme(url: str) -> str:
    """The address in one of the SDK's own profiles, of which that of the Swiss cloud has none."""
    return url if "://" in url else f"https://{url}"


def _with_domains(kind: str, auth: dict[str, Any], given: Mapping[str, Any], options: set[str]) -> dict[str, Any]:
    """A domain that is given alone is the user's too; the default domain is that of user and project."""
    added = {name: value for name, value in auth.items() if not name.startswith("default_domain_")}
    owners = [owner for owner in ("user_domain", "project_domain") if f"{owner}_id" in options]
    if kind in methods.GENERIC:  # as keystoneauth does: part by part
        for owner in owners:
            for part in ("id", "name"):
                if default := given.get(f"default_domain_{part}"):
                    added.setdefault(f"{owner}_{part}", default)
    for owner, other in (("user_domain", "domain"), *((owner, "default_domain") for owner in owners)):
        if owner in owners and not added.keys() & {f"{owner}_id", f"{owner}_name"}:
            found = {part: given.get(f"{other}_{part}") for part in ("id", "name")}
            added |= {f"{owner}_{part}": value for part, value in found.items() if value}
    return added


def _secrets_beside(lacking: set[str]) -> dict[str, str]:
    """Variables such as `OS_PASSWORD`, beside a cloud of a file that has no such secret."""
    layer = Layer({name: os.environ.get(f"OS_{name.upper()}") for name in sorted(lacking)})
    refuse_other_than_text([layer], lacking)
    return merged([layer])


def _refuse_missing(source: CloudSource, kind: str, auth: Mapping[str, Any], secret: set[str]) -> None:
    missing = methods.needed(kind, auth)
    if not missing:
        return
    if source.place is None:
        variables = ", ".join(" or ".join(f"OS_{name}".upper() for name in one.split(" or ")) for one in missing)
        raise ConfigError(f"{variables} missing (sign-in method {kind})")
    text = f"{', '.join(missing)} missing (sign-in method {kind}) in {source.place}"
    for name in secret & {*missing}:
        text += f", and OS_{name.upper()} is not set"
        if nothing := place_of_nothing(source.every_layer, name):
            text += f" ({nothing} has no value, or one that YAML takes for none: put it in quotes)"
    raise ConfigError(text)


def _checked_ca(
    source: CloudSource, given: Mapping[str, Any], verify: bool | str | None, ca_file: _FileName | None
) -> bool | str:
    """Whether the cloud's certificates are checked, or with which file, of which there is one that can be used."""
    own = os.fspath(ca_file) if ca_file else True if verify is None else verify
    name = "cacert" if given.get("cacert") else "verify"  # of which openstacksdk makes a text, if it is a number
    trusted(ca_file, own, own_name=name if source.place else f"OS_{name.upper()}").check()
    return own
