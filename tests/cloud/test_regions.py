"""Hosts from regions and regions from hosts, held to the pages of both clouds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrs_async.cloud.regions import (
    check_region,
    cloud_of,
    iam_endpoint,
    named_cloud,
    region_of,
    region_override,
    sdrs_endpoint,
)
from sdrs_async.errors import ConfigError

REGIONS = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
OWN_REGIONS = st.from_regex(r"(?:af|cn|la|na|ru|tr)-(?:north|south|east|west|southwest)-[1-9][0-9]?", fullmatch=True)


@pytest.mark.parametrize(
    ("region", "sdrs", "iam"),
    [
        ("eu-de", "sdrs.eu-de.otc.t-systems.com", "iam.eu-de.otc.t-systems.com"),
        ("eu-nl", "sdrs.eu-nl.otc.t-systems.com", "iam.eu-nl.otc.t-systems.com"),
        ("eu-west-101", "sdrs.eu-west-101.myhuaweicloud.eu", "iam.eu-west-101.myhuaweicloud.eu"),
        ("cn-north-4", "sdrs.cn-north-4.myhuaweicloud.com", "iam.cn-north-4.myhuaweicloud.com"),
        ("ap-southeast-2", "sdrs.ap-southeast-2.myhuaweicloud.com", "iam.ap-southeast-2.myhuaweicloud.com"),
        ("cn-west-77", "sdrs.cn-west-77.myhuaweicloud.com", "iam.cn-west-77.myhuaweicloud.com"),
    ],
)
def test_a_region_picks_the_cloud_and_its_hosts(region: str, sdrs: str, iam: str) -> None:
    """Three regions belong to other clouds than the rest; a new one of an area that the vendor has is not refused."""
    assert (sdrs_endpoint(region), iam_endpoint(region)) == (f"https://{sdrs}", f"https://{iam}")


@pytest.mark.parametrize(
    "region",
    [
        *(
            "af-north-1",
            "ap-southeast-1",
            "ap-southeast-4",
            "ap-southeast-5",
            "ap-southeast-6",
            "cn-east-4",
            "cn-north-1",
        ),
        *("cn-north-12", "cn-south-2", "cn-southwest-2", "la-north-2", "la-south-2", "me-east-1", "me-west-3"),
        *("na-mexico-1", "ru-northwest-2", "sa-argentina-1", "sa-brazil-1", "sa-chile-1", "sa-peru-1", "tr-west-1"),
    ],
)
def test_the_vendors_regions_go_on_working_by_the_pattern(region: str) -> None:
    """Those that its SDK and its pages list today, and numbers that they may have tomorrow."""
    assert sdrs_endpoint(region) == f"https://sdrs.{region}.myhuaweicloud.com"


FOREIGN = [
    *("eu-west-0", "ru-moscow-1", "ae-ad-1", "my-kualalumpur-1"),  # partners'
    *("eu-de-01", "eu-de-1", "eu-nl-01", "eu-ch2a", "eu-ch", "eude", "eu-west-102", "cn-north-4a", "ap-southeast-3b"),
    *(
        "us-east-1",
        "us-west-2",
        "us-gov-west-1",
        "eu-central-1",
        "eu-west-1",
        "eu-north-1",
        "ca-central-1",
        "il-central-1",
    ),
    *("ap-northeast-1", "ap-south-1", "ap-east-1", "sa-east-1", "me-south-1", "me-central-1", "cn-northwest-1"),
    *(
        "ap-tokyo-1",
        "ap-singapore-1",
        "af-johannesburg-1",
        "me-dubai-1",
        "sa-saopaulo-1",
        "cn-beijing-6",
        "uk-london-1",
    ),
    *("ru-central1", "ru-1", "ap-guangzhou", "na-siliconvalley", "cn-north", "cn-north4", "cn-north-04", "cnnorth-4"),
    *("cn-hangzhou", "europe-west3", "westeurope", "fr-par", "de-fra", "gra11", "region1", "regionone", "mars-north-1"),
]


@pytest.mark.parametrize("region", FOREIGN)
def test_a_region_of_another_cloud_has_no_host_by_the_pattern(region: str) -> None:
    """A partner's region, another vendor's, an availability zone, a typing error: no host for a credential; one
    sentence says what to do, and the cloud's domain or its IAM lifts it.
    """
    for host in (sdrs_endpoint, iam_endpoint):
        with pytest.raises(ConfigError, match=rf"^region {region} is .*give the service's endpoint with --endpoint"):
            host(region)
        assert host(region, "cloud.example.com").endswith(f".{region}.cloud.example.com")
    assert check_region(region) == region
    assert named_cloud(region, f"https://iam.{region}.myhuaweicloud.com/v3") == "myhuaweicloud.com"
    for iam in (None, "https://iam.myhuaweicloud.com", f"https://iam.{region}.example.com", "https://[broken"):
        assert named_cloud(region, iam) is None


def test_the_cloud_can_be_overridden() -> None:
    """`HW_CLOUD` wins over the region, but for one that is another cloud's alone; an empty one is none."""
    for region, domain in (("eu-de", "otc.t-systems.com"), ("eu-ch2", "sc.otc.t-systems.com")):
        for host in (cloud_of, sdrs_endpoint, iam_endpoint):
            with pytest.raises(ConfigError, match=f"region {region} is one of {domain}, but HW_CLOUD is myhuaweicloud"):
                host(region, "myhuaweicloud.com")
        assert cloud_of(region, domain) == domain
    assert cloud_of("cn-north-4", "cloud.example.com") == "cloud.example.com"
    assert sdrs_endpoint("cn-north-4", "myhuaweicloud.eu") == "https://sdrs.cn-north-4.myhuaweicloud.eu"
    assert iam_endpoint("cn-north-4", "myhuaweicloud.eu") == "https://iam.cn-north-4.myhuaweicloud.eu"
    assert cloud_of("eu-de", "") == "otc.t-systems.com"


def test_the_swiss_cloud_has_a_known_iam_and_asks_for_the_endpoint() -> None:
    """Nobody names its SDRS host, so none is guessed; its IAM host has a name of its own."""
    assert iam_endpoint("eu-ch2") == "https://iam-pub.eu-ch2.sc.otc.t-systems.com"
    with pytest.raises(ConfigError, match="the service in eu-ch2 is not known: give it with --endpoint"):
        sdrs_endpoint("eu-ch2")


@pytest.mark.parametrize(
    "region",
    ["", "eu/de", "eu.de", "eu-de@evil", "EU-DE", "eu de", "eu_de", "eu-de\n", "-eu", "eu-", "a" * 64, "eü-de", "eu:1"],
)
def test_what_cannot_be_a_region_never_becomes_a_host(region: str) -> None:
    """A slash, a dot or an @ would send the credential elsewhere."""
    for host in (check_region, cloud_of, sdrs_endpoint, iam_endpoint):
        with pytest.raises(ConfigError, match="is not a region: write it like eu-de"):
            host(region)


@pytest.mark.parametrize("cloud", ["com", "evil/com", "user@evil.com", "evil.com:80", ".com", "a..b", "A.com", "a.b\n"])
def test_what_cannot_be_a_domain_never_becomes_a_host(cloud: str) -> None:
    """The override is held to the form of a domain."""
    for host in (cloud_of, sdrs_endpoint, iam_endpoint):
        with pytest.raises(ConfigError, match="is not the domain of a cloud: write it like"):
            host("eu-de", cloud)


@given(OWN_REGIONS.filter(lambda region: region not in FOREIGN), REGIONS)
def test_the_region_comes_back_from_its_endpoint(own: str, region: str) -> None:
    """Whatever the region, the host made of it names it."""
    assert region_of(sdrs_endpoint(own)) == own
    assert region_of(sdrs_endpoint(region, "myhuaweicloud.com")) == region


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ("https://sdrs.eu-de.otc.t-systems.com/v1/0123456789abcdef0123456789abcdef", "eu-de"),
        ("HTTPS://SDRS.EU-DE.OTC.T-SYSTEMS.COM:443", "eu-de"),
        ("https://sdrs.eu-ch2.sc.otc.t-systems.com", "eu-ch2"),
        ("https://sdrs.eu-west-101.myhuaweicloud.eu", "eu-west-101"),
        ("https://sdrs.eu-de.otc.t-systems.com@evil.com", None),
        ("https://sdrs.eu-de.otc.t-systems.com.evil.com", None),
        ("https://sdrs.eu-de.otcxt-systems.com", None),
        ("https://ecs.eu-de.otc.t-systems.com", None),
        ("https://sdrs.otc.t-systems.com", None),
        ("https://sdrs.eu.de.otc.t-systems.com", None),
        ("http://127.0.0.1:8080", None),
        ("sdrs.eu-de.otc.t-systems.com", None),
        ("https://[broken", None),
        ("", None),
    ],
)
def test_only_a_host_of_the_pattern_names_a_region(endpoint: str, region: str | None) -> None:
    """Path, port and case do not matter; another host, or none, names no region."""
    assert region_of(endpoint) == region


@given(st.text())
def test_any_text_has_a_region_or_none(text: str) -> None:
    """Nothing that is handed in makes these fail."""
    region_of(text)
    region_of(f"https://{text}")


def test_the_variable_of_the_vendor_overrides_one_region() -> None:
    """The SDK's variable holds for its region alone; of several URLs the first is the one that the SDK turns to."""
    environ = {
        "HUAWEICLOUD_SDK_REGION_SDRS_CN_NORTH_4": "https://sdrs.example.com",
        "HUAWEICLOUD_SDK_REGION_SDRS_EU_DE": " https://one.example.com , https://two.example.com",
        "HUAWEICLOUD_SDK_REGION_SDRS_EU_NL": "",
    }
    assert region_override(environ, "cn-north-4") == "https://sdrs.example.com"
    assert region_override(environ, "eu-de") == "https://one.example.com"
    assert region_override(environ, "eu-nl") is None
    assert region_override(environ, "af-south-1") is None
