"""What is configured for a cloud, as openstacksdk reads it: clouds.yaml and its companions, or `OS_*` variables.

https://docs.openstack.org/openstacksdk/latest/user/config/configuration.html
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from sdrs_async.errors import ConfigError
from sdrs_async.keystone import methods
from sdrs_async.keystone.keys import NAMES, signs_in, written_keys
from sdrs_async.keystone.settings import (
    Layer,
    as_written,
    chosen_file,
    merged,
    place_of_nothing,
    read,
    refuse_other_than_text,
    wrong_text,
)
from sdrs_async.sites import Site
from sdrs_async.trust import check_client_certificate, trusted

if TYPE_CHECKING:
    from keystoneauth1.loading import Opt
    from openstack.config.cloud_region import CloudRegion

__all__ = ["Cloud", "read_cloud"]

log = logging.getLogger("sdrs_async")

_FileName = str | os.PathLike[str]
_ENVIRONMENT = "the OS_* variables"
# Of a cloud made from variables these are settings, all others belong to the sign-in.
_SETTINGS = {
    *("auth_type", "auth_plugin", "region_name", "interface", "endpoint_type", "verify", "insecure", "cacert", "cert"),
    *("key", "sdrs_endpoint_override", "sdrs_interface", "sdrs_region_name"),
}
_PROFILES = ("otc", "otc-swiss")
# What else has to be text for the SDK, which makes words of numbers or stumbles over them.
_TEXTS = {"auth_url", "auth_type", "auth_plugin", "profile", "cloud", "region_name"}
_MOVED = {
    *("domain_id", "domain_name", "user_domain_id", "user_domain_name", "project_domain_id", "project_domain_name"),
    *("project_id", "project_name", "tenant_id", "tenant_name", "token", "auth_token", "passcode"),
}
_DOMAINS = {"domain_id", "domain_name", "default_domain_id", "default_domain_name"}
# Variables of those who test OpenStack itself.
_FOREIGN = ("OS_TEST", "OS_STD", "OS_LOG")


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
    def named(
        cls, name: str, region: str | None = None, *, allow_http: bool = False, ca_file: _FileName | None = None
    ) -> Self:
        """The cloud of that name in clouds.yaml; `ca_file` wins over what it says of certificates.

        Raises `ConfigError` with what is missing.
        """
        label = f"cloud {name!r}"
        with _as_config_error(label):
            source = _in_files(label, name)
        _check_that_it_signs_in(label, merged(source.every_layer))
        return cls._of(source, region, allow_http, ca_file)

    @classmethod
    def of_environment(
        cls, region: str | None = None, *, allow_http: bool = False, ca_file: _FileName | None = None
    ) -> Self:
        """What the `OS_*` variables say, of which `OS_CLOUD` names a cloud of clouds.yaml; `ca_file` as in `named`.

        Raises `ConfigError`.
        """
        if (name := os.environ.get("OS_CLOUD", "")).strip():
            return cls.named(name, region, allow_http=allow_http, ca_file=ca_file)
        with _as_config_error(_ENVIRONMENT):
            source = _in_variables(_ENVIRONMENT)
        return cls._of(source, region, allow_http, ca_file)

    @classmethod
    def _of(cls, source: _Source, region: str | None, allow_http: bool, ca_file: _FileName | None) -> Self:
        label = source.label
        with _as_config_error(label, source.place):
            found = _as_the_sdk_reads_it(source, region)
            kind, auth, secrets = _sign_in(source, found)
            verify, cert = found.get_requests_verify_args()
            endpoint, interface = found.get_endpoint("sdrs"), found.get_interface("sdrs")
            region = found.get_region_name("sdrs") or None
        _check_auth_url(label, auth["auth_url"], allow_http)
        return cls(
            label, kind, auth, secrets, region, interface or "public", endpoint,
            _checked_ca(label, found.config, verify, ca_file), _checked_cert(label, cert),
        )  # fmt: skip

    @property
    def files(self) -> tuple[str, ...]:
        """Those that it names, beside the ones that it is read from: of certificates, and of a key."""
        cert = (self.cert,) if isinstance(self.cert, str) else self.cert or ()
        return (*cert, self.verify) if isinstance(self.verify, str) else cert


# ---- where it is said -----------------------------------------------------------------------------------------------


class _Source(NamedTuple):
    """A cloud as it is given, in layers of which the last wins. `place`: where, in words; variables have none.

    `profile`: what clouds-public.yaml has of its profile, which the SDK lays below them.
    """

    label: str
    name: str
    layers: tuple[Layer, ...]
    place: str | None = None
    profile: Layer | None = None

    @property
    def every_layer(self) -> tuple[Layer, ...]:
        return (self.profile, *self.layers) if self.profile else self.layers


def _in_variables(label: str) -> _Source:
    given = {
        name.removeprefix("OS_").lower(): value
        for name, value in os.environ.items()
        if name.startswith("OS_") and not name.startswith(_FOREIGN)
    }
    if "auth_url" not in merged([Layer(given)]):
        raise ConfigError("OS_AUTH_URL is not set, and neither is OS_CLOUD")
    return _Source(label, "envvars", (Layer(given),))


def _in_files(label: str, name: str) -> _Source:
    from openstack.config import loader

    if wrong := wrong_text(name):
        raise ConfigError(f"its name {wrong}")
    files = [
        chosen_file(loader.CONFIG_FILES, "OS_CLIENT_CONFIG_FILE"),
        chosen_file(loader.SECURE_FILES, "OS_CLIENT_SECURE_FILE"),
    ]
    clouds = [(file, _mapping(read(file).get("clouds"))) for file in files if file]
    layers = tuple(_layer(file, "clouds", name, of[name]) for file, of in clouds if name in of)
    if not layers and name == (os.environ.get("OS_CLOUD_NAME") or "envvars"):  # the SDK's name for the variables
        return _in_variables(label)
    if not layers:
        raise ConfigError(f"{label} is not in {_places(files[0], dict(clouds))}")
    place = f"clouds.{name} of {' and '.join(str(layer.file) for layer in layers)}"
    return _Source(label, name, layers, place, _profile(label, layers))


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _layer(file: str, top: str, name: str, value: Any) -> Layer:
    if not isinstance(value, Mapping | None):
        raise ConfigError(f"{top}.{name} in {file} has not the shape of a cloud: settings, each with its name")
    return Layer(value or {}, file, (top, name))


def _places(file: str | None, clouds: Mapping[str, Mapping[Any, Any]]) -> str:
    if file is None:
        return "any clouds.yaml: none was found in this directory, ~/.config/openstack or /etc/openstack"
    names = clouds[file]
    known = ", ".join(sorted(map(repr, names))) or "no cloud at all"
    hint = "" if all(isinstance(name, str) for name in names) else ": a name that is no word to YAML goes in quotes"
    return f"{file}, which has {known}{hint}"


def _profile(label: str, layers: tuple[Layer, ...]) -> Layer | None:
    """What clouds-public.yaml has of the profile that a cloud names, if it has it. Raises `ConfigError`."""
    from openstack.config import loader, vendors

    refuse_other_than_text(layers, _TEXTS)
    given = merged(layers)
    name = given.get("profile", given.get("cloud"))
    if name is None:
        return None
    file = chosen_file(loader.VENDOR_FILES)
    public = _mapping(read(file).get("public-clouds"))
    if file and name in public:
        return _layer(file, "public-clouds", name, public[name])
    if "://" not in name and vendors.get_profile(name) is None:
        near = get_close_matches(name, (*_PROFILES, *map(str, public)), 1)
        said = next(
            layer.spelled((key,)) for layer in reversed(layers) for key in ("profile", "cloud") if key in layer.data
        )
        text = f"there is no profile {name!r} ({said}){f', but there is {near[0]!r}' if near else ''}"
        if "auth_url" not in _flat(given):
            raise ConfigError(f"{text}, and no auth_url is given")
        _warn(f"{label}: {text}: it goes without")
    return None


@lru_cache
def _warn(line: str) -> None:
    """Once: on the way to a credential a cloud is read several times."""
    log.warning("%s", line)


def _flat(given: Mapping[str, Any]) -> dict[str, Any]:
    return {**given, **_mapping(given.get("auth"))}


# ---- what the SDK makes of it ---------------------------------------------------------------------------------------


def _as_the_sdk_reads_it(source: _Source, region: str | None) -> CloudRegion:
    """Of files it reads but clouds-public.yaml, and no variable."""
    from openstack.config import OpenStackConfig

    refuse_other_than_text(source.every_layer, _TEXTS)
    given = _inside(source, region) if source.place is None else _without_braces(source)
    auth = _mapping(given.get("auth"))
    # Inside `auth` an SDK as old as 4.4 replaces a token by the word None; beside it, it is the same to all of them.
    tokens = {name: auth[name] for name in ("token", "auth_token", "auth-token") if name in auth}
    config = OpenStackConfig(config_files=[], secure_files=[], load_envvars=False)
    config.cloud_config = {"clouds": {source.name: {**tokens, **given}}}
    return config.get_one(source.name, validate=False, region_name=region or "")


def read_cloud(name: str, region: str | None = None) -> tuple[str, Mapping[Any, Any], CloudRegion]:
    """A cloud of clouds.yaml for who does not sign in: its place in messages, its settings as they are written, and as
    openstacksdk reads them. Raises `ConfigError`.
    """
    label = f"cloud {name!r}"
    with _as_config_error(label):
        source = _in_files(label, name)
    # Without the keys, in which the SDK would read braces as places to fill in, and a method that it may not know.
    layers = tuple(
        layer._replace(
            data={
                key: value
                for key, value in layer.data.items()
                if str(key).replace("-", "_") not in (*NAMES, "auth_type", "auth_plugin")
            }
        )
        for layer in source.layers
    )
    with _as_config_error(label, source.place):
        found = _as_the_sdk_reads_it(source._replace(layers=layers), region)
    return f"{label} ({source.place})", merged(source.every_layer), found


def _inside(source: _Source, region: str | None) -> dict[str, Any]:
    """All variables but the settings inside `auth`: beside it the SDK takes braces for places to fill in."""
    given = as_written(source.layers)
    settings = {name: value for name, value in given.items() if name in _SETTINGS}
    if region:
        settings["region_name"] = region
    return {**settings, "auth": {name: value for name, value in given.items() if name not in _SETTINGS}}


def _without_braces(source: _Source) -> dict[str, Any]:
    """A cloud without those words beside `auth` in which the SDK would fill in braces, but for its settings."""
    given = merged(source.every_layer)
    options = methods.options(str(given.get("auth_type", "password")), given.get("auth_methods"))
    names = {name for option in options for name in _names(option)} - _MOVED
    return {
        name: value
        for name, value in as_written(source.layers).items()
        if not (isinstance(value, str) and "{" in value and str(name).replace("-", "_") in names)
    }


@contextmanager
def _as_config_error(label: str, place: str | None = None) -> Iterator[None]:
    """Every error with the cloud and its place; none of the SDK's warnings, which are of settings that nobody uses."""
    try:
        from keystoneauth1.exceptions import ClientException
        from openstack.config import OpenStackConfig  # noqa: F401 - is the extra there?
        from openstack.exceptions import ConfigException
    except ImportError:
        raise ConfigError(f"{label}: signing in needs an extra: pip install 'sdrs-async[openstack]'") from None
    at = f" ({place})" if place else ""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="openstack")
            yield
    except ConfigError as error:
        raise ConfigError(f"{error}" if str(error).startswith(label) else f"{label}: {error}") from None
    except (ConfigException, ClientException) as error:
        text = str(error)
        if text.startswith("Invalid region entry"):  # it goes on with the entry, passwords and all
            text = "Invalid region entry: it takes a name and, under values, settings"
        raise ConfigError(f"{label}: {text}{at}") from None
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # Its text is not shown: it may be a piece of any value.
        raise ConfigError(
            f"{label}: the configuration has not the shape that openstacksdk expects ({type(error).__name__}){at}: "
            "compare it with https://docs.openstack.org/openstacksdk/latest/user/config/configuration.html"
        ) from None


def _check_that_it_signs_in(label: str, written: Mapping[Any, Any]) -> None:
    if not signs_in(written, os.environ) and written_keys(label, written):
        raise ConfigError(
            f"{label} has an access key and nothing to sign in to IAM with: requests are signed with that, "
            "AkSk(access_key, secret_key), and no token is needed"
        )


# ---- what of it is for the sign-in ----------------------------------------------------------------------------------


def _sign_in(source: _Source, found: CloudRegion) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """The method, its options as it takes them, and those of these that are secret."""
    beside, inside = _unformatted(source, found), _without_none(source, found.config["auth"])
    given = {**beside, **inside}
    kind = _kind_of(given)
    options = methods.options(kind, given.get("auth_methods"))
    texts = {name for option in options if option.type is str for name in _names(option)}
    refuse_other_than_text(source.every_layer, texts | _DOMAINS)
    auth = {option.dest: value for option in options if (value := _value(option, inside, beside)) is not None}
    auth |= {name: methods.as_list(auth[name]) for name in ("auth_methods", "roles") if name in auth}
    if "auth_url" in auth and "auth_url" not in _flat(merged(source.every_layer)):
        auth["auth_url"] = _with_scheme(auth["auth_url"])
    auth = _with_domains(kind, auth, given, {option.dest for option in options})
    secret = {option.dest for option in options if option.secret}
    if source.place:
        auth |= _secrets_beside(secret - auth.keys())
    _refuse_missing(source, kind, auth, secret)
    methods.plugin(kind, auth)  # which says what else is wrong
    return kind, auth, tuple(str(auth[name]) for name in secret if name in auth)


def _unformatted(source: _Source, found: CloudRegion) -> dict[str, Any]:
    """What is given beside `auth`, as it is given, but for what the SDK moves into it."""
    given = merged(source.every_layer)
    regions = map(_mapping, given.get("regions", ()))
    values = (one.get("values", {}) for one in regions if one.get("name") == found.region_name)
    given |= next(values, {})
    return {**found.config, **{name: value for name, value in given.items() if name not in _MOVED}}


def _without_none(source: _Source, auth: Mapping[str, Any]) -> dict[str, Any]:
    """The SDK makes the word None of what a profile leaves empty."""
    is_word = "None" in _flat(merged(source.every_layer)).values()
    return {name: value for name, value in auth.items() if value != "None" or is_word}


def _kind_of(given: Mapping[str, Any]) -> str:
    kind = str(given["auth_type"])
    if kind in ("password", "v3password") and given.get("token") and not given.get("password"):
        return kind.replace("password", "token")
    return kind


def _names(option: Opt) -> list[str]:
    return [option.dest, *(one.name.replace("-", "_") for one in (option, *option.deprecated))]


def _value(option: Opt, *places: Mapping[str, Any]) -> Any:
    found = (place.get(name) for place in places for name in _names(option))
    return next((value for value in found if value not in (None, "")), None)


def _with_scheme(url: str) -> str:
    """The address of one of the SDK's own profiles, of which one lacks it."""
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


def _refuse_missing(source: _Source, kind: str, auth: Mapping[str, Any], secret: set[str]) -> None:
    missing = methods.needed(kind, auth)
    if not missing:
        return
    if source.place is None:
        names = ", ".join(" or ".join(f"OS_{name}".upper() for name in one.split(" or ")) for one in missing)
        raise ConfigError(f"{names} missing (sign-in method {kind})")
    text = f"{', '.join(missing)} missing (sign-in method {kind}) in {source.place}"
    for name in secret & {*missing}:
        text += f", and OS_{name.upper()} is not set"
        if nothing := place_of_nothing(source.every_layer, name):
            text += f" ({nothing} has no value, or one that YAML takes for none: put it in quotes)"
    raise ConfigError(text)


def _check_auth_url(label: str, url: str, allow_http: bool) -> None:
    try:
        Site(url, allow_http=allow_http)  # its proxy, too: the message of requests would show a password in it
    except ConfigError as error:
        raise ConfigError(f"{label}: auth_url: {error}") from None


def _checked_ca(
    label: str, given: Mapping[str, Any], verify: bool | str | None, ca_file: _FileName | None
) -> bool | str:
    """Whether the cloud's certificates are checked, or with which file, of which there is one that can be used."""
    own = os.fspath(ca_file) if ca_file else True if verify is None else verify
    name = "cacert" if given.get("cacert") else "verify"  # of which openstacksdk makes a text, if it is a number
    trust = trusted(ca_file, own, own_name=f"OS_{name.upper()}" if label == _ENVIRONMENT else name)
    try:
        trust.check()
    except ConfigError as error:
        raise ConfigError(f"{label}: {error}") from None
    return own


def _checked_cert(label: str, cert: str | tuple[str, str] | None) -> str | tuple[str, str] | None:
    if cert is not None:
        try:
            check_client_certificate(cert)
        except ConfigError as error:
            raise ConfigError(f"{label}: {error}") from None
    return cert
