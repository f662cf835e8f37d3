"""Which hosts a region has, and which region a host serves. No I/O: the environment is read by the caller.

Hosts are built by their pattern, since lists of regions age: the vendor's own (SDK, sdrs_region.py) has a wrong host.
https://developer.huaweicloud.com/intl/en-us/endpoint, https://docs.otc.t-systems.com/regions-and-endpoints/

A credential of another cloud must not go to Huawei's hosts: a region has one only where its name has the vendor's form,
in an area where the vendor has regions, and is not known to be another's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from sdrs_async.errors import ConfigError

_HUAWEI = "myhuaweicloud.com"
_HUAWEI_EUROPE = "myhuaweicloud.eu"
_OTC = "otc.t-systems.com"
_OTC_SWISS = "sc.otc.t-systems.com"
_CLOUDS = {"eu-de": _OTC, "eu-nl": _OTC, "eu-ch2": _OTC_SWISS, "eu-west-101": _HUAWEI_EUROPE}
# Where Huawei Cloud has regions under its usual domain: an area and a direction, or a country of the Americas, never a
# city. New ones of these areas need no new version.
_DIRECTION = "(?:north|south)(?:east|west)?|east|west|central"
_COUNTRY = "argentina|bolivia|brazil|chile|colombia|ecuador|mexico|paraguay|peru|uruguay"
_FORM = re.compile(rf"(?:(?:af|ap|cn|la|me|na|ru|sa|tr)-(?:{_DIRECTION})|(?:na|sa)-(?:{_COUNTRY}))-[1-9][0-9]{{0,2}}")
# With the vendor's names, but run by partners, each under a domain of its own, where its users' credentials belong.
_PARTNERS = {
    "eu-west-0": "Orange Flexible Engine",
    "ru-moscow-1": "Cloud.ru",
    "ae-ad-1": "G42 Cloud",
    "my-kualalumpur-1": "TM One Alpha Edge",
}
# Other vendors' in the same areas, of the same form, where Huawei Cloud has none of that name.
_ELSEWHERE = {
    *("ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2"),
    *("cn-northwest-1", "me-central-1", "me-south-1", "sa-east-1"),
}
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_REGION = re.compile(_LABEL)
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}")
_DOMAINS = "|".join(map(re.escape, (_HUAWEI, _HUAWEI_EUROPE, _OTC, _OTC_SWISS)))
_SDRS_HOST = re.compile(rf"sdrs\.({_LABEL})\.(?:{_DOMAINS})")


def check_region(region: str) -> str:
    """The region, or `ConfigError` if it cannot be one: it becomes a part of a host. Any that could be one is taken."""
    if not _REGION.fullmatch(region):
        raise ConfigError(f"{ascii(region)[:80]} is not a region: write it like eu-de or cn-north-4")
    return region


def cloud_of(region: str, cloud: str | None = None) -> str:
    """The domain of the cloud that a region belongs to; `cloud` (`HW_CLOUD`), where given, overrides.

    Raises `ConfigError` for what can be no region or no domain, for a region that is not known to be Huawei's or Open
    Telekom Cloud's, and for one that `cloud` cannot have, since it is the only one of its name.
    """
    check_region(region)
    if cloud and not _DOMAIN.fullmatch(cloud):
        raise ConfigError(f"{ascii(cloud)[:80]} is not the domain of a cloud: write it like myhuaweicloud.com")
    known = _CLOUDS.get(region)
    if cloud and known and cloud != known:
        raise ConfigError(
            f"region {region} is one of {known}, but HW_CLOUD is {cloud}: unset HW_CLOUD, or give the service's "
            "endpoint with --endpoint"
        )
    return cloud or known or _vendors(region)


def _vendors(region: str) -> str:
    """The vendor's usual domain. Raises `ConfigError` for a region that is another's, or that nobody knows."""
    if _FORM.fullmatch(region) and region not in _PARTNERS and region not in _ELSEWHERE:
        return _HUAWEI
    whose = f"one of {_PARTNERS[region]}" if region in _PARTNERS else "of neither Huawei Cloud nor Open Telekom Cloud"
    raise ConfigError(
        f"region {region} is {whose}, so no host follows from it and no credential is sent: give the service's "
        "endpoint with --endpoint (in a fleet file: endpoint), or, if the region is right, the cloud's domain in "
        "HW_CLOUD"
    )


def named_cloud(region: str, iam: str | None) -> str | None:
    """The vendor's usual domain where `iam` is this region's there, which says whose region it is; else `None`."""
    return _HUAWEI if iam and _host(iam) == f"iam.{region}.{_HUAWEI}" else None


def sdrs_endpoint(region: str, cloud: str | None = None) -> str:
    """The service's URL in a region. Raises `ConfigError` as `cloud_of`, and where no host follows from it."""
    domain = cloud_of(region, cloud)
    if domain == _OTC_SWISS:  # no page names it, and its IAM shows that this cloud's hosts keep to no pattern
        raise ConfigError(f"the host of the service in {region} is not known: give it with --endpoint")
    return f"https://sdrs.{region}.{domain}"


def by_pattern(region: str, cloud: str | None = None) -> str | None:
    """The same, `None` for a region whose host follows from nothing."""
    try:
        return sdrs_endpoint(region, cloud)
    except ConfigError:
        return None


def iam_endpoint(region: str, cloud: str | None = None) -> str:
    """IAM's URL in a region, without its version. Raises `ConfigError` as `cloud_of`."""
    domain = cloud_of(region, cloud)
    return f"https://{'iam-pub' if domain == _OTC_SWISS else 'iam'}.{region}.{domain}"


def region_of(endpoint: str) -> str | None:
    """The region that a URL of the service names, by the pattern and in a known cloud; else `None`."""
    match = _SDRS_HOST.fullmatch(_host(endpoint))
    return match[1] if match else None


def _host(url: str) -> str:
    """Empty where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def region_override(environ: Mapping[str, str], region: str) -> str | None:
    """The URL that `HUAWEICLOUD_SDK_REGION_SDRS_...` sets for a region, the first as in the SDK; `None`: none."""
    value = environ.get(f"HUAWEICLOUD_SDK_REGION_SDRS_{region.replace('-', '_').upper()}", "")
    return value.partition(",")[0].strip() or None
