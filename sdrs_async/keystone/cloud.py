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

from sdrs_async.errors import ConfigError
from sdrs_async.sites import Site
from sdrs_async.trust import check_client_certificate, trusted

if TYPE_CHECKING:
    from keystoneauth1.loading import Opt
    from openstack.config import OpenStackConfig

__all__ = ["Cloud"]

_FileName = str | os.PathLike[str]
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
        config = _config(label)
        if name not in config.cloud_config["clouds"]:
            raise ConfigError(f"{label} is not in {_places(config)}")
        return cls._of(label, config, name, region, allow_http, ca_file=ca_file)

    @classmethod
    def of_environment(
        cls, region: str | None = None, *, allow_http: bool = False, ca_file: _FileName | None = None
    ) -> Self:
        """What the `OS_*` variables say, of which `OS_CLOUD` names a cloud of clouds.yaml; `ca_file` as in `named`.

        Raises `ConfigError`.
        """
        if name := os.environ.get("OS_CLOUD"):
            return cls.named(name, region, allow_http=allow_http, ca_file=ca_file)
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
        return cls._of(_ENVIRONMENT, config, config.envvar_key, region, allow_http, ca_file=ca_file)

    @classmethod
    def _of(
        cls, label: str, config: OpenStackConfig, name: str | None, region: str | None, allow_http: bool,
        *, ca_file: _FileName | None,
    ) -> Self:  # fmt: skip
        with _as_config_error(label):
            # Of a thing that nobody asked for, each time a cloud is read; and of `verify: false`, which is said louder.
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Support for InfluxDB|You are specifying a cacert")
                found = config.get_one(name, validate=False, region_name=region or "")
                verify, cert = found.get_requests_verify_args()
            given = {**found.config, **found.config["auth"]}
            kind = _kind_of(given)
            auth, secrets = _options(label, kind, given)
            endpoint, interface = found.get_endpoint("sdrs"), found.get_interface("sdrs")
            region = found.get_region_name("sdrs") or None
        _check_auth_url(label, auth["auth_url"], allow_http)
        return cls(
            label, kind, auth, secrets, region, interface or "public", endpoint,
            _checked_ca(label, given, verify, ca_file), _checked_cert(label, cert),
        )  # fmt: skip

    @property
    def files(self) -> tuple[str, ...]:
        """Those that it names, beside the ones that it is read from: of certificates, and of a key."""
        cert = (self.cert,) if isinstance(self.cert, str) else self.cert or ()
        return (*cert, self.verify) if isinstance(self.verify, str) else cert


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
