"""The access key of a cloud of clouds.yaml as a credential, with what else the cloud says of where it is good."""

from __future__ import annotations

import os

from sdrs_async.credentials.keys import AkSk, WrittenKeys
from sdrs_async.credentials.keystone.cloud import check_url, with_scheme
from sdrs_async.credentials.keystone.keys import NAMES, signs_in, written_keys
from sdrs_async.credentials.keystone.settings import Layer, refuse_other_than_text
from sdrs_async.credentials.keystone.sources import CloudSource, as_config_error, as_the_sdk_reads_it
from sdrs_async.errors import ConfigError

# The SDK would take braces in a key for places to fill in, and may not know the method.
_NOT_FOR_THE_SDK = NAMES | {"auth_type", "auth_plugin"}


class CloudKey(AkSk):
    """An access key that knows its cloud's region, `sdrs_endpoint_override` and certificates (`Auth.verify`).

    `region`: instead of the cloud's; `service`: signs in the older form, for it; `allow_http`: the key may leave this
    machine unencrypted. Raises `ConfigError`.
    """

    def __init__(
        self,
        source: CloudSource,
        keys: WrittenKeys,
        region: str | None,
        service: str | None = None,
        *,
        allow_http: bool = False,
    ) -> None:
        with as_config_error(source.label, source.at):
            found = as_the_sdk_reads_it(_without_keys(source), region)
            verify, _ = found.get_requests_verify_args()
            self.verify: bool | str = True if verify is None else verify
            self.region: str | None = found.get_region_name("sdrs") or None
            self.endpoint_override: str | None = found.get_endpoint("sdrs")
            iam = with_scheme(given) if (given := found.config["auth"].get("auth_url")) else None
            for setting, url in (("auth_url", iam), ("sdrs_endpoint_override", self.endpoint_override)):
                check_url(source, setting, url, allow_http=allow_http)
        if service is not None and self.region is None:
            raise ConfigError('signature "credential" signs for a region: give it (region, --region)')
        keys.check([f"{source.label}{source.at}: its {name.replace('_', ' ')}" for name in keys._fields])
        super().__init__(*keys, scope=(self.region or "", service) if service else None, iam_endpoint=iam)

    @property
    def files(self) -> tuple[str, ...]:
        """What the cloud names of files: its certificates."""
        return (self.verify,) if isinstance(self.verify, str) else ()


def _without_keys(source: CloudSource) -> CloudSource:
    def without(layer: Layer) -> Layer:
        items = layer.data.items()
        return layer._replace(data={k: v for k, v in items if str(k).replace("-", "_") not in _NOT_FOR_THE_SDK})

    return source._replace(layers=tuple(map(without, source.layers)))


def keys_of(source: CloudSource) -> WrittenKeys | None:
    """The access key of a cloud of clouds.yaml, `None` if it has none. Sends nothing.

    Raises `ConfigError` for a half, and with the place for what YAML does not read as text.
    """
    with as_config_error(source.label):
        refuse_other_than_text(source.every_layer, NAMES)
        return written_keys(source.label, source.settings)


def key_alone(source: CloudSource) -> WrittenKeys | None:
    """The same, where nothing of the cloud signs in to IAM, which goes before a key."""
    return None if signs_in(source.settings, os.environ) else keys_of(source)
