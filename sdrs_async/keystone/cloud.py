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
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from sdrs_async.errors import ConfigError
from sdrs_async.keystone.keys import NAMES, signs_in, written_keys
from sdrs_async.sites import Site, check_endpoint

if TYPE_CHECKING:
    from keystoneauth1.loading import Opt
    from openstack.config import OpenStackConfig
    from openstack.config.cloud_region import CloudRegion

__all__ = ["Cloud", "read_cloud"]

_ENVIRONMENT = "the OS_* variables"
# Of a cloud made from variables these are settings, all others belong to the sign-in.
_SETTINGS = {
    *("auth_type", "auth_plugin", "region_name", "interface", "endpoint_type", "verify", "insecure", "cacert", "cert"),
    *("key", "sdrs_endpoint_override", "sdrs_interface", "sdrs_region_name"),
}
# Those that find out first which version of the API there is. These clouds have version 3 only, and what they would
# find out is where to send the password: to any host, and unencrypted.
_VERSIONED = {"password": "v3password", "token": "v3token"}
# What keystoneauth does not check itself, or only when it signs in.
_NEEDED = {"v3password": ("username or user_id", "password"), "v3token": ("token",)}


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cloud to sign in to. `label`: its name in messages; `kind`: the sign-in method, `auth`: its options.

    `verify`: whether certificates are checked, or with which file; `local`: nothing leaves this machine.
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
    local: bool = False

    @classmethod
    def named(cls, name: str, region: str | None = None, *, allow_http: bool = False) -> Self:
        """The cloud of that name in clouds.yaml. Raises `ConfigError` with what is missing."""
        label = f"cloud {name!r}"
        config = _config(label)
        if name not in config.cloud_config["clouds"]:
            raise ConfigError(f"{label} is not in {_places(config)}")
        _check_that_it_signs_in(label, config.cloud_config["clouds"][name])
        return cls._of(label, config, name, region, allow_http)

    @classmethod
    def of_environment(cls, region: str | None = None, *, allow_http: bool = False) -> Self:
        """What the `OS_*` variables say, of which `OS_CLOUD` names a cloud of clouds.yaml. Raises `ConfigError`."""
        if name := os.environ.get("OS_CLOUD"):
            return cls.named(name, region, allow_http=allow_http)
        config = _config(_ENVIRONMENT, load_yaml_config=False)
        found = config.cloud_config["clouds"].get(config.envvar_key)
        if not found or "auth_url" not in found:
            raise ConfigError(f"{_ENVIRONMENT}: OS_AUTH_URL is not set, and neither is OS_CLOUD")
        settings = {key: value for key, value in found.items() if key in _SETTINGS}
        if region:
            settings["region_name"] = region
        # As options of the sign-in: elsewhere the SDK reads braces in a value as places to fill in.
        settings["auth"] = {key: value for key, value in found.items() if key not in _SETTINGS}
        config.cloud_config["clouds"][config.envvar_key] = settings
        return cls._of(_ENVIRONMENT, config, config.envvar_key, region, allow_http)

    @classmethod
    def _of(cls, label: str, config: OpenStackConfig, name: str | None, region: str | None, allow_http: bool) -> Self:
        with _as_config_error(label):
            with warnings.catch_warnings():  # of a thing that nobody asked for, each time a cloud is read
                warnings.filterwarnings("ignore", message="Support for InfluxDB")
                found = config.get_one(name, validate=False, region_name=region or "")
            given = {**found.config, **found.config["auth"]}
            kind = _kind_of(given)
            auth, secrets = _options(label, kind, given)
            verify, cert = found.get_requests_verify_args()
            endpoint, interface = found.get_endpoint("sdrs"), found.get_interface("sdrs")
            region = found.get_region_name("sdrs") or None
        _check_auth_url(label, auth["auth_url"], allow_http)
        return cls(
            label, kind, auth, secrets, region, interface or "public", endpoint, _checked_ca(label, verify), cert,
            _is_local(auth["auth_url"]),
        )  # fmt: skip


# ---- reading the files ----------------------------------------------------------------------------------------------


def _config(label: str, load_yaml_config: bool = True) -> OpenStackConfig:
    try:
        from openstack.config import OpenStackConfig
    except ImportError:
        raise ConfigError(f"{label}: signing in needs an extra: pip install 'sdrs-async[openstack]'") from None
    with _as_config_error(label), _no_file_skipped(label):
        return OpenStackConfig(load_yaml_config=load_yaml_config)


@contextmanager
def _no_file_skipped(label: str) -> Iterator[None]:
    """A file that is no YAML is an error here. The SDK logs a warning, with pieces of the file, and goes on without."""
    skipped: list[str] = []

    def withhold(record: logging.LogRecord) -> bool:
        if not str(record.msg).startswith("Skipping config file") or not isinstance(record.args, tuple):
            return True
        mark = getattr(record.args[1], "problem_mark", None)
        skipped.append(f"{record.args[0]}{f', line {mark.line + 1}' if mark else ''}")
        return False

    logger = logging.getLogger("openstack.config")
    logger.addFilter(withhold)
    try:
        yield
    finally:
        logger.removeFilter(withhold)
    if skipped:
        raise ConfigError(f"{label}: {skipped[0]}: this is not valid YAML or JSON")


@contextmanager
def _as_config_error(label: str) -> Iterator[None]:
    from keystoneauth1.exceptions import ClientException
    from openstack.exceptions import ConfigException

    try:
        yield
    except (ConfigException, ClientException) as error:
        raise ConfigError(f"{label}: {error}") from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # Its text is not shown: it may be a piece of any value.
        raise ConfigError(
            f"{label}: the configuration has not the shape that openstacksdk expects ({type(error).__name__}): compare "
            "it with https://docs.openstack.org/openstacksdk/latest/user/config/configuration.html"
        ) from None


def _places(config: OpenStackConfig) -> str:
    if config.config_filename is None:
        return "any clouds.yaml: none was found in this directory, ~/.config/openstack or /etc/openstack"
    known = ", ".join(sorted(map(repr, config.cloud_config["clouds"])))
    return f"{config.config_filename}, which has {known or 'none'}"


def read_cloud(name: str, region: str | None = None) -> tuple[str, Any, CloudRegion]:
    """A cloud of clouds.yaml for who does not sign in: its place in messages, its settings as they are written, and as
    openstacksdk reads them. Raises `ConfigError`.
    """
    label = f"cloud {name!r}"
    config = _config(label)
    clouds = config.cloud_config["clouds"]
    if name not in clouds:
        raise ConfigError(f"{label} is not in {_places(config)}")
    written = clouds[name]
    with _as_config_error(label), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of things that nobody asked for, each time a cloud is read
        # Without the keys: the SDK reads braces in a value as places to fill in.
        clouds[name] = {key: value for key, value in written.items() if key not in NAMES}
        found = config.get_one(name, validate=False, region_name=region or "")
    return f"{label} ({config.config_filename})", written, found


def _check_that_it_signs_in(label: str, written: object) -> None:
    if not signs_in(written, os.environ) and written_keys(label, written):
        raise ConfigError(
            f"{label} has an access key and nothing to sign in to IAM with: requests are signed with that, "
            "AkSk(access_key, secret_key), and no token is needed"
        )


# ---- what of it is for the sign-in ----------------------------------------------------------------------------------


def _kind_of(given: Mapping[str, Any]) -> str:
    kind = str(given["auth_type"])
    if _VERSIONED.get(kind, kind) == "v3password" and given.get("token") and not given.get("password"):
        return "v3token"
    return _VERSIONED.get(kind, kind)


def _options(label: str, kind: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Of all that is given the options of a sign-in method, as the method takes them, and which of these are secret."""
    from keystoneauth1 import loading
    from keystoneauth1.identity.base import BaseIdentityPlugin

    loader: loading.BaseLoader[Any] = loading.get_plugin_loader(kind)
    options = loader.get_options()
    for method in _methods(given) if kind == "v3multifactor" else ():
        options += loading.get_plugin_options(method)
    auth = {option.dest: value for option in options if (value := _value(option, given)) is not None}
    if "auth_methods" in auth:
        auth["auth_methods"] = _methods(given)
    _add_domains(auth, given, {option.dest for option in options})
    missing = [names for names in _NEEDED.get(kind, ()) if not auth.keys() & set(names.split(" or "))]
    if missing:
        raise ConfigError(f"{label}: {', '.join(missing)} missing (sign-in method {kind})")
    if not isinstance(loader.load_from_options(**auth), BaseIdentityPlugin):
        raise ConfigError(f"{label}: the sign-in method {kind} gets no token from IAM, which is needed here")
    return auth, tuple(str(auth[option.dest]) for option in options if option.secret and option.dest in auth)


def _value(option: Opt, given: Mapping[str, Any]) -> Any:
    names = (option.dest, *(one.name.replace("-", "_") for one in (option, *option.deprecated)))
    return next((given[name] for name in names if given.get(name) not in (None, "")), None)


def _methods(given: Mapping[str, Any]) -> list[str]:
    methods = given.get("auth_methods") or []
    return methods.split(",") if isinstance(methods, str) else list(methods)


def _add_domains(auth: dict[str, Any], given: Mapping[str, Any], options: set[str]) -> None:
    """A domain that is given alone is the user's too; the default domain is that of user and project."""
    for owner, other in (
        ("user_domain", "domain"),
        ("user_domain", "default_domain"),
        ("project_domain", "default_domain"),
    ):
        if f"{owner}_id" in options and not auth.keys() & {f"{owner}_id", f"{owner}_name"}:
            found = {part: given.get(f"{other}_{part}") for part in ("id", "name")}
            auth.update({f"{owner}_{part}": value for part, value in found.items() if value})


def _check_auth_url(label: str, url: str, allow_http: bool) -> None:
    try:
        Site(url, allow_http=allow_http)  # its proxy, too: the message of requests would show a password in it
    except ConfigError as error:
        raise ConfigError(f"{label}: auth_url: {error}") from None


def _is_local(url: str) -> bool:
    try:
        check_endpoint(f"http://{urlsplit(url).netloc}")  # unencrypted it may go to this machine only
    except ConfigError:
        return False
    return True


def _checked_ca(label: str, verify: bool | str | None) -> bool | str:
    if isinstance(verify, str) and not os.path.exists(verify):
        raise ConfigError(f"{label}: the CA file {verify!r} does not exist")
    return True if verify is None else verify
