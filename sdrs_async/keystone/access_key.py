"""The access key of a cloud of clouds.yaml as a credential, with what else the cloud says of where it is good."""

from __future__ import annotations

import os

from sdrs_async.auth import AkSk, check_secret
from sdrs_async.errors import ConfigError
from sdrs_async.keystone.cloud import read_cloud
from sdrs_async.keystone.keys import WrittenKeys, signs_in, written_keys
from sdrs_async.sites import check_endpoint

__all__ = ["CloudKey", "FoundKey", "find_key"]


class CloudKey(AkSk):
    """An access key that knows its cloud's region, `sdrs_endpoint_override` and certificates (`Auth.verify`)."""

    region: str | None = None
    endpoint_override: str | None = None
    verify: bool | str = True

    @property
    def files(self) -> tuple[str, ...]:
        """The files of certificates that it is used with."""
        return (self.verify,) if isinstance(self.verify, str) else ()


class FoundKey:
    """The access key of a cloud. `access_key`: to be shown in short only; `alone`: nothing else signs in there."""

    def __init__(self, name: str, keys: WrittenKeys, *, alone: bool) -> None:
        self.access_key = keys.access_key
        self.alone = alone
        self._name = name
        self._keys = keys

    def make(self, region: str | None, service: str | None = None, *, allow_http: bool = False) -> CloudKey:
        """The credential, in the cloud's region unless one is given; `service`: signs in the older form, for it.

        `allow_http`: it may leave this machine unencrypted. Raises `ConfigError`.
        """
        label, _, found = read_cloud(self._name, region)
        region = found.get_region_name("sdrs") or None
        if service is not None and region is None:
            raise ConfigError("--signature credential signs for a region: name it with --region")
        for name, value in zip(WrittenKeys._fields, self._keys, strict=True):
            if value is not None:
                check_secret(f"{label}: its {name.replace('_', ' ')}", value)
        iam, endpoint = found.config["auth"].get("auth_url") or None, found.get_endpoint("sdrs")
        if iam is not None and "://" not in iam:  # as the vendor profile of the Swiss cloud has it
            iam = f"https://{iam}"
        for setting, url in (("auth_url", iam), ("sdrs_endpoint_override", endpoint)):
            _check(f"{label}: {setting}", url, allow_http)
        key = CloudKey(*self._keys, scope=(region or "", service) if service else None, iam_endpoint=iam)
        key.region, key.endpoint_override = region, endpoint
        verify = found.get_requests_verify_args()[0]
        key.verify = True if verify is None else verify
        return key


def _check(place: str, url: str | None, allow_http: bool) -> None:
    try:
        if url is not None:
            check_endpoint(url, allow_http=allow_http)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from None


def find_key(name: str) -> FoundKey | None:
    """The access key of a cloud of clouds.yaml, `None` if it has none. Sends nothing. Raises `ConfigError`."""
    label, written, _ = read_cloud(name)
    keys = written_keys(label, written)
    return FoundKey(name, keys, alone=not signs_in(written, os.environ)) if keys is not None else None
