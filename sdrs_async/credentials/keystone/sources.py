"""Where a cloud is said, as openstacksdk looks for it: clouds.yaml and its companions, or `OS_*` variables.

https://docs.openstack.org/openstacksdk/latest/user/config/configuration.html
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from sdrs_async.credentials.keys import WrittenKeys
from sdrs_async.credentials.keystone import methods
from sdrs_async.credentials.keystone.settings import (
    Layer,
    as_written,
    chosen_file,
    merged,
    read,
    refuse_other_than_text,
    wrong_text,
)
from sdrs_async.errors import ConfigError

if TYPE_CHECKING:
    from openstack.config.cloud_region import CloudRegion

log = logging.getLogger("sdrs_async")

# Of a cloud made from variables these are settings, all others belong to the sign-in.
_SETTINGS = {
    *("auth_type", "auth_plugin", "region_name", "interface", "endpoint_type", "verify", "insecure", "cacert", "cert"),
    *("key", "sdrs_endpoint_override", "sdrs_interface", "sdrs_region_name"),
}
_PROFILES = ("otc", "otc-swiss")
# What else has to be text for the SDK, which makes words of numbers or stumbles over them.
_TEXTS = {"auth_url", "auth_type", "auth_plugin", "profile", "cloud", "region_name"}
MOVED = {
    *("domain_id", "domain_name", "user_domain_id", "user_domain_name", "project_domain_id", "project_domain_name"),
    *("project_id", "project_name", "tenant_id", "tenant_name", "token", "auth_token", "passcode", "auth_url"),
}
"""What the SDK moves into `auth`, from beside it."""
# An access key in clouds.yaml: openstacksdk knows none there; the tools of Open Telekom Cloud do, also in `auth`.
_KEY = (("ak", "access_key"), ("sk", "secret_key"), ("security_token",))
_OF_KEYS = {"", "password", "v3password", "token", "v3token", "aksk", "ak_sk"}
# Each is, or stands beside, what proves a user to IAM.
_PROOFS = {
    *("password", "passcode", "token", "auth_token", "application_credential_secret", "identity_provider"),
    *("auth_methods", "access_token", "client_secret", "access_secret", "consumer_secret", "oauth2_client_secret"),
}
# The SDK would take braces in a key for places to fill in, and may not know the method.
_NOT_FOR_THE_SDK = {*chain(*_KEY), "auth_type", "auth_plugin"}
# Variables of those who test OpenStack itself.
_FOREIGN = ("OS_TEST", "OS_STD", "OS_LOG")
# Where an endpoint has its project, in the form in which the SDK, too, would fill in its settings, and has none for it.
_PROJECT = re.compile(r"\$?\{((?:project|tenant)_id)\}")


class CloudSource(NamedTuple):
    """A cloud as it is given, in layers of which the last wins. `place`: where, in words; variables have none.

    `label`: its name in messages; `profile`: what clouds-public.yaml has of its profile, which the SDK lays below them.
    """

    label: str
    name: str
    layers: tuple[Layer, ...]
    place: str | None = None
    profile: Layer | None = None

    @property
    def at(self) -> str:
        """The place behind a message."""
        return f" ({self.place})" if self.place else ""

    @property
    def every_layer(self) -> tuple[Layer, ...]:
        """With the profile's."""
        return (self.profile, *self.layers) if self.profile else self.layers

    @property
    def settings(self) -> dict[Any, Any]:
        """All that is given, as it is written, by names with underscores."""
        return merged(self.every_layer)

    @property
    def flat(self) -> dict[str, Any]:
        """The same with what is in `auth` beside it; a setting that stands beside it already counts first."""
        settings = self.settings
        return {**mapping(settings.get("auth")), **settings}

    @property
    def keys(self) -> WrittenKeys | None:
        """The access key, if there is one. Raises `ConfigError` for a half, and for what YAML does not read as text."""
        with as_config_error(self.label):
            refuse_other_than_text(self.every_layer, chain(*_KEY))
            given = self.flat
            used = [next((name for name in names if name in given), names[0]) for names in _KEY]
            return WrittenKeys.of(given, used, f"{self.label}: ")

    @property
    def signs_in(self) -> bool:
        """Whether there is something to sign in to IAM with; it then goes before the access key."""
        given = self.flat
        if given.keys() & _PROOFS:
            return True
        if str(given.get("auth_type") or given.get("auth_plugin") or "").replace("-", "_") not in _OF_KEYS:
            return True
        return bool(os.environ.get("OS_PASSWORD", "").strip()) and bool(given.keys() & {"username", "user_id"})

    def without_keys(self) -> CloudSource:
        """The same for the SDK, to which an access key and the word for signing with one mean something else."""

        def without(layer: Layer) -> Layer:
            items = layer.data.items()
            return layer._replace(data={k: v for k, v in items if str(k).replace("-", "_") not in _NOT_FOR_THE_SDK})

        return self._replace(layers=tuple(map(without, self.layers)))


def in_variables(label: str = "the OS_* variables") -> CloudSource:
    """What the `OS_*` variables say. Raises `ConfigError` without an address to sign in at."""
    with as_config_error(label):
        given = {
            name.removeprefix("OS_").lower(): value
            for name, value in os.environ.items()
            if name.startswith("OS_") and not name.startswith(_FOREIGN)
        }
        source = CloudSource(label, "envvars", (Layer(given),))
        if "auth_url" not in source.settings:
            raise ConfigError("OS_AUTH_URL is not set, and neither is OS_CLOUD")
        return source


def in_files(name: str) -> CloudSource:
    """The cloud of that name in clouds.yaml, with what secure.yaml adds; each file is read once, for it may be a pipe.

    Raises `ConfigError`.
    """
    with as_config_error(label := f"cloud {name!r}"):
        from openstack.config import loader

        if wrong := wrong_text(name):
            raise ConfigError(f"its name {wrong}")
        usual = chosen_file(loader.CONFIG_FILES, "OS_CLIENT_CONFIG_FILE")
        files = filter(None, (usual, chosen_file(loader.SECURE_FILES, "OS_CLIENT_SECURE_FILE")))
        clouds = {file: mapping(read(file).get("clouds")) for file in files}
        layers = tuple(_layer(file, "clouds", name, of[name]) for file, of in clouds.items() if name in of)
        if not layers and name == (os.environ.get("OS_CLOUD_NAME") or "envvars"):  # the SDK's name for the variables
            return in_variables(label)
        if not layers:
            raise ConfigError(f"{label} is not in {_places(usual, clouds)}")
        place = f"clouds.{name} of {' and '.join(str(layer.file) for layer in layers)}"
        return CloudSource(label, name, layers, place, _own_profile(layers))


@contextmanager
def as_config_error(label: str, at: str = "") -> Iterator[None]:
    """Every error with the cloud and its place (`CloudSource.at`).

    None of the SDK's warnings, which are of settings that nobody uses.
    """
    try:
        from keystoneauth1.exceptions import ClientException
        from openstack.config import OpenStackConfig  # noqa: F401 - is the extra there?
        from openstack.exceptions import ConfigException
    except ImportError:
        raise ConfigError(f"{label}: signing in needs an extra: pip install 'sdrs-async[openstack]'") from None
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


def mapping(value: Any) -> Mapping[Any, Any]:
    """The value if it is one, else an empty one."""
    return value if isinstance(value, Mapping) else {}


# ---- where it is said -----------------------------------------------------------------------------------------------


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


# ---- profiles -------------------------------------------------------------------------------------------------------


def _profile_name(layers: tuple[Layer, ...]) -> str | None:
    refuse_other_than_text(layers, _TEXTS)
    given = merged(layers)
    name: str | None = given.get("profile", given.get("cloud"))
    return name


def _own_profile(layers: tuple[Layer, ...]) -> Layer | None:
    """What clouds-public.yaml has of the profile that a cloud names, if it has it."""
    name = _profile_name(layers)
    file, public = _public() if name is not None else (None, {})
    return _layer(file, "public-clouds", name, public[name]) if file and name and name in public else None


def _public() -> tuple[str | None, Mapping[Any, Any]]:
    from openstack.config import loader

    file = chosen_file(loader.VENDOR_FILES)
    return file, mapping(read(file).get("public-clouds"))


def _check_profile(source: CloudSource) -> None:
    """That it is there; the SDK asks the host that some of its own name for more, which is not done here."""
    from openstack.config import vendors

    name = _profile_name(source.layers) if source.place else None
    if name is None or source.profile is not None:
        return
    said = next(
        layer.spelled((key,)) for layer in reversed(source.layers) for key in ("profile", "cloud") if key in layer.data
    )
    found = None if "://" in name else vendors.get_profile(name)
    if "://" in name or "://" in str((found or {}).get("profile")):
        raise ConfigError(
            f"the profile {name!r} ({said}) is one that has to be fetched from its vendor's host, which is not done: "
            "write what it says into the cloud (auth_url, regions), without profile"
        )
    if found is None:
        near = get_close_matches(name, (*_PROFILES, *map(str, _public()[1])), 1)
        text = f"there is no profile {name!r} ({said}){f', but there is {near[0]!r}' if near else ''}"
        if "auth_url" not in source.flat:
            raise ConfigError(f"{text}, and no auth_url is given")
        log.warning("%s: %s: it goes without", source.label, text)


# ---- what the SDK makes of it ---------------------------------------------------------------------------------------


def as_the_sdk_reads_it(source: CloudSource, region: str | None) -> CloudRegion:
    """What openstacksdk makes of it, which is given no file to read and no variable. To be called within
    `as_config_error`; raises `ConfigError`, and what the SDK raises.
    """
    from openstack.config import OpenStackConfig

    refuse_other_than_text(source.every_layer, _TEXTS)
    _check_profile(source)
    given = _inside(source, region) if source.place is None else _without_braces(source)
    for name in ("sdrs_endpoint_override", "sdrs-endpoint-override"):
        if isinstance(url := given.get(name), str):
            given[name] = _PROJECT.sub(r"%(\1)s", url)
    auth = mapping(given.get("auth"))
    # Inside `auth` an SDK as old as 4.4 replaces a token by the word None; beside it, it is the same to all of them.
    tokens = {name: auth[name] for name in ("token", "auth_token", "auth-token") if name in auth}
    config = OpenStackConfig(config_files=[], secure_files=[], load_envvars=False)
    config.cloud_config = {"clouds": {source.name: {**tokens, **given}}}
    return config.get_one(source.name, validate=False, region_name=region or "")


def _inside(source: CloudSource, region: str | None) -> dict[str, Any]:
    """All variables but the settings inside `auth`: beside it the SDK takes braces for places to fill in."""
    given = as_written(source.layers)
    settings = {name: value for name, value in given.items() if name in _SETTINGS}
    if region:
        settings["region_name"] = region
    return {**settings, "auth": {name: value for name, value in given.items() if name not in _SETTINGS}}


def _without_braces(source: CloudSource) -> dict[str, Any]:
    """A cloud without those words beside `auth` in which the SDK would fill in braces, but for its settings."""
    given = source.settings
    options = methods.options(str(given.get("auth_type", "password")), given.get("auth_methods"))
    names = {name for option in options for name in methods.names(option)} - MOVED
    return {
        name: value
        for name, value in as_written(source.layers).items()
        if not (isinstance(value, str) and "{" in value and str(name).replace("-", "_") in names)
    }
