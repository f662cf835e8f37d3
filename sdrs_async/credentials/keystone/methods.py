"""The sign-in methods: those of keystoneauth, but for two that it would begin by asking around, and agencies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sdrs_async.errors import ConfigError

if TYPE_CHECKING:
    from keystoneauth1.identity.base import BaseIdentityPlugin
    from keystoneauth1.loading import BaseLoader, Opt

# keystoneauth would find out first which version of the API there is. These clouds have version 3 only, and what it
# would find out is where to send the password: to any host, and unencrypted. Unlike its own `v3password` these send the
# name of a project without a domain, which is how the vendor's documentation writes it.
GENERIC = {"password", "token"}
# What keystoneauth does not check itself, or only when it signs in.
_USER = ("auth_url", "username or user_id", "user_domain_name or user_domain_id")
_NEEDED = {
    "password": (*_USER, "password"),
    "token": ("auth_url", "token"),
    "v3password": (*_USER, "password"),
    "v3token": ("auth_url", "token"),
    "v3totp": (*_USER, "passcode"),
    "v3applicationcredential": ("auth_url", "application_credential_secret"),
    "agency": (*_USER, "password", "target_agency_name", "target_domain_name or target_domain_id"),
}


def options(kind: str, auth_methods: Any = ()) -> list[Opt]:
    """What a method takes; `auth_methods`: those that are asked for at once. Raises `ConfigError`."""
    from keystoneauth1 import loading

    if kind == "agency":
        from sdrs_async.credentials.keystone import agency

        found: list[Opt] = [*loading.get_plugin_options("password"), *agency.options()]
    else:
        found = _loader(kind).get_options()
    for method in as_list(auth_methods) if kind == "v3multifactor" else ():
        found += _loader(method).get_options()
    return found


def names(option: Opt) -> list[str]:
    """Under which an option may be given, the first of which the plugin takes."""
    return [option.dest, *(one.name.replace("-", "_") for one in (option, *option.deprecated))]


def needed(kind: str, auth: Mapping[str, Any]) -> list[str]:
    """Which options are missing, as far as keystoneauth does not say it. A user's id stands for name and domain."""
    given = auth.keys() | ({"user_domain_id"} if "user_id" in auth else set())
    return [names for names in _NEEDED.get(kind, ()) if not given & set(names.split(" or "))]


def plugin(kind: str, auth: Mapping[str, Any]) -> BaseIdentityPlugin:
    """What signs in with these options, of which none that is needed is missing. Raises `ConfigError`."""
    from keystoneauth1.identity import v3
    from keystoneauth1.identity.base import BaseIdentityPlugin

    if kind == "agency":
        from sdrs_async.credentials.keystone.agency import KEYS, agency

        if (key := auth.get("target_agency_key", KEYS[0])) not in KEYS:
            raise ConfigError(f"target_agency_key is {key!r}: it has to be one of {' and '.join(KEYS)}")
        return agency(auth)
    if kind in GENERIC:
        return v3.Password(**auth) if kind == "password" else v3.Token(**auth)
    made: object = _loader(kind).load_from_options(**auth)
    if not isinstance(made, BaseIdentityPlugin):
        raise ConfigError(f"the sign-in method {kind} gets no token from IAM, which is needed here")
    return made


def as_list(value: Any) -> list[Any]:
    """A list as clouds.yaml may write it: with commas."""
    return value.split(",") if isinstance(value, str) else list(value or ())


def _loader(kind: str) -> BaseLoader[Any]:
    from keystoneauth1.exceptions import NoMatchingPlugin
    from keystoneauth1.loading import get_plugin_loader

    try:
        loader: BaseLoader[Any] = get_plugin_loader(kind)
        available = loader.available
    except NoMatchingPlugin:
        raise ConfigError(f"there is no sign-in method {kind!r} (auth_type)") from None
    except (ImportError, AttributeError):  # what it needs is not there, and it does not get as far as to say so
        available = False
    if not available:
        raise ConfigError(
            f"the sign-in method {kind} needs more packages: pip install 'keystoneauth1[kerberos,oauth1,saml2]'"
        )
    return loader
