"""From flags, environment and files to an account: which credential, which hosts, and what is refused."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from sdrs_async.accounts.account import Account
from sdrs_async.accounts.sources import Asked, CredentialKind, HuaweiProfile, Signature, choose
from sdrs_async.command.inputs import of_flags
from sdrs_async.credentials.keys import AkSk
from sdrs_async.credentials.keystone import KeystoneAuth
from sdrs_async.credentials.vendor_sdk import HuaweiAuth
from sdrs_async.errors import AuthenticationError, ConfigError
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.simulator import Fault, Simulator
from tests.support.command import finished, process, report, run, texts, until, write_targets

FLAGS = Asked(
    None,
    None,
    None,
    None,
    CredentialKind.AUTO,
    Signature.ACCESS,
    None,
    False,
    Limits(),
    RetryPolicy(base=0.001, timeout=5.0),
)
TOKEN = {"OS_TOKEN": "a-token"}
KEYS = {"HUAWEICLOUD_SDK_AK": "ABCDEFGH", "HUAWEICLOUD_SDK_SK": "the-secret"}
HW_KEYS = {"HW_ACCESS_KEY": "HWHWHWHW", "HW_SECRET_KEY": "the-secret"}
OTC_KEYS = {"OS_ACCESS_KEY": "WXYZ1234", "OS_SECRET_KEY": "the-secret"}
USER = {
    "OS_AUTH_URL": "https://iam.eu-de.otc.t-systems.com/v3",
    "OS_USERNAME": "somebody",
    "OS_PASSWORD": "a-password",
    "OS_USER_DOMAIN_NAME": "a-domain",
}
OTC = "https://sdrs.eu-de.otc.t-systems.com"
OTC_IAM = "https://iam.eu-de.otc.t-systems.com"


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without any configuration."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    return folder


def write_credentials(home: Path, text: str) -> None:
    """The vendor's credentials file."""
    folder = home / ".huaweicloud"
    folder.mkdir()
    (folder / "credentials").write_text(text, "utf-8")


def account(environ: Mapping[str, str], **flags: Any) -> Account:
    """The account that flags and environment come to without the network."""
    with patch.dict(os.environ, environ):  # where openstacksdk looks
        (pending,) = of_flags(replace(FLAGS, **flags), environ).pending
    assert pending.endpoint is not None
    return pending.at(pending.endpoint)


# ---- which credential


CHOICES = [
    ({**TOKEN, **KEYS, **USER, "OS_CLOUD": "prod"}, {}, "cloud prod", ["OS_TOKEN", "access key ABCD..."]),
    ({**TOKEN, **KEYS, "OS_CLOUD": "prod"}, {"os_cloud": "lab"}, "cloud lab", ["OS_TOKEN", "access key ABCD..."]),
    ({**TOKEN, **KEYS, **USER}, {}, "OS_TOKEN", ["access key ABCD...", "OS_USERNAME"]),
    ({**KEYS, **OTC_KEYS, **USER}, {}, "access key ABCD...", ["access key WXYZ...", "OS_USERNAME"]),
    ({**OTC_KEYS}, {}, "access key WXYZ...", []),
    ({**USER}, {}, "OS_USERNAME", []),
    ({**TOKEN, **USER}, {"credential": CredentialKind.OPENSTACK}, "OS_USERNAME", []),
    ({**TOKEN, **KEYS}, {"credential": CredentialKind.AK_SK}, "access key ABCD...", []),
    ({**KEYS, **TOKEN}, {"credential": CredentialKind.TOKEN}, "OS_TOKEN", []),
    ({**KEYS}, {"credential": CredentialKind.HUAWEI}, "huawei chain", []),
    ({"OS_TOKEN": "", "OS_AUTH_TOKEN": "", "OS_CLOUD": "", **KEYS}, {}, "access key ABCD...", []),
    ({"OS_AUTH_TOKEN": "another", **KEYS}, {}, "OS_AUTH_TOKEN", ["access key ABCD..."]),
    ({**TOKEN, "OS_AUTH_TOKEN": "another"}, {}, "OS_TOKEN", ["OS_AUTH_TOKEN"]),
    ({**TOKEN, "OS_AUTH_TOKEN": "a-token"}, {}, "OS_TOKEN", []),
    ({"OS_AUTH_TOKEN": "another"}, {"credential": CredentialKind.TOKEN}, "OS_AUTH_TOKEN", []),
    ({**HW_KEYS, **USER}, {}, "access key HWHW...", ["OS_USERNAME"]),
    ({**HW_KEYS, **OTC_KEYS, **KEYS}, {}, "access key ABCD...", ["access key WXYZ...", "access key HWHW..."]),
    ({**HW_KEYS, "HUAWEICLOUD_SDK_AK": "", "OS_SECRET_KEY": ""}, {}, "access key HWHW...", []),
    ({"HW_ACCESS_KEY": "SHORT", "HW_SECRET_KEY": "x"}, {}, "access key SH...", []),
]


@pytest.mark.parametrize(("environ", "asked", "name", "others"), CHOICES)
def test_the_first_that_is_there_is_used(
    environ: dict[str, str], asked: dict[str, Any], name: str, others: list[str], home: Path
) -> None:
    """Cloud, token, access key, user, credentials file: the first is used, and the others are named."""
    (home / "clouds.yaml").write_text("clouds: {prod: {}, lab: {}}", "utf-8")
    with patch.dict(os.environ, {"OS_CLIENT_CONFIG_FILE": str(home / "clouds.yaml")}):
        source, left = choose(Asked(**asked), environ)
    assert (source.name, left) == (name, others)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (CredentialKind.TOKEN, "no token: OS_TOKEN is not set in the environment, and neither is OS_AUTH_TOKEN"),
        (CredentialKind.AK_SK, "no access key: none of HUAWEICLOUD_SDK_AK and .*, HW_ACCESS_KEY and HW_SECRET_KEY"),
        (
            CredentialKind.OPENSTACK,
            "nobody to sign in as: no cloud is named .*--os-cloud, OS_CLOUD.; OS_AUTH_URL is not set",
        ),
        (CredentialKind.AUTO, "no credential was found: no cloud is named .Account.from_cloud, --os-cloud, OS_CLOUD"),
    ],
)
def test_what_was_looked_for_is_named(kind: CredentialKind, message: str) -> None:
    """Without a credential, the error says what there could have been."""
    with pytest.raises(ConfigError, match=message):
        choose(Asked(credential=kind), {})


BAD = [
    (
        TOKEN,
        {"os_cloud": "x", "credential": CredentialKind.TOKEN},
        "--os-cloud. is one credential and token .credential, --credential. another",
    ),
    (
        TOKEN,
        {"signature": Signature.CREDENTIAL},
        ".signature, --signature. is for access keys, and the credential is OS_TOKEN",
    ),
    (KEYS, {"signature": Signature.CREDENTIAL, "endpoint": "https://sdrs.example.com"}, "signs for a region"),
    ({"HUAWEICLOUD_SDK_AK": "A"}, {"region": "eu-de"}, "HUAWEICLOUD_SDK_SK is missing .* HUAWEICLOUD_SDK_AK is there"),
    ({"OS_SECRET_KEY": "A"}, {"region": "eu-de"}, "OS_ACCESS_KEY is missing"),
    ({"HW_ACCESS_KEY": "A", "HW_SECRET_KEY": ""}, {"region": "cn-north-4"}, "HW_SECRET_KEY is missing"),
    ({"HW_SECRET_KEY": "A"}, {"region": "cn-north-4"}, "HW_ACCESS_KEY is missing"),
    ({**HW_KEYS, "HW_SECRET_KEY": "a\r"}, {"region": "cn-north-4"}, "HW_SECRET_KEY is empty or holds"),
    (
        {**KEYS, "HUAWEICLOUD_SDK_SECURITY_TOKEN": "a b"},
        {"region": "eu-de"},
        "^HUAWEICLOUD_SDK_SECURITY_TOKEN is empty",
    ),
    # What HW_CLOUD names is no cloud of a region that is another's alone.
    ({**TOKEN, "HW_CLOUD": "myhuaweicloud.com"}, {"region": "eu-de"}, "is one of otc.t-systems.com, but HW_CLOUD is"),
    ({"OS_AUTH_TOKEN": "a\r"}, {"region": "eu-de"}, "OS_AUTH_TOKEN: the token is empty or holds"),
    # A region of another cloud gets no credential by the pattern of this one.
    *(
        (environ, {"region": region, **more}, f"region {region} is .*--endpoint")
        for environ in (TOKEN, KEYS)
        for region, more in (
            ("eu-west-0", {}),
            ("eu-de-01", {}),
            ("us-east-1", {"iam_endpoint": "https://iam.myhuaweicloud.com"}),
            ("eu-west-0", {"iam_endpoint": "https://iam.eu-west-0.prod-cloud-ocb.orange-business.com"}),
        )
    ),
    ({**TOKEN, "OS_REGION_NAME": "eu-west-0"}, {}, "region eu-west-0 is one of Orange Flexible Engine"),
    ({**HW_KEYS, "HW_REGION_NAME": "ru-moscow-1"}, {}, "region ru-moscow-1 is one of Cloud.ru"),
    ({**TOKEN}, {"endpoint": "https://sdrs.%(region_name)s.example.com"}, "the project id alone is filled in"),
    ({**TOKEN}, {"endpoint": "https://sdrs.example.com/v1/%(user_id)s"}, "the project id alone is filled in"),
    (TOKEN, {}, "OS_TOKEN: neither an endpoint nor a region is known: give one .endpoint or region, --"),
    (TOKEN, {"region": "eu-de", "endpoint": "https://sdrs.eu-nl.otc.t-systems.com"}, "but the endpoint is in eu-nl"),
    (TOKEN, {"region": "EU DE"}, "'EU DE' is not a region"),
    (TOKEN, {"endpoint": "http://sdrs.example.com"}, "unencrypted"),
    (TOKEN, {"region": "eu-de", "iam_endpoint": "http://iam.eu-de.otc.t-systems.com"}, "unencrypted"),
    ({**TOKEN, "HUAWEICLOUD_SDK_REGION_SDRS_EU_DE": "http://x.example.com"}, {"region": "eu-de"}, "unencrypted"),
    ({**TOKEN, "OS_CACERT": "/nowhere.pem"}, {"region": "eu-de"}, "the CA file '/nowhere.pem'"),
    ({**USER, "OS_AUTH_URL": "http://iam.example.com"}, {"endpoint": OTC}, "auth_url: endpoint"),
    # A credential that is known elsewhere stays there.
    ({**TOKEN, "OS_AUTH_URL": "http://127.0.0.1:9/v3"}, {"region": "eu-de"}, "the credential is one of 127.0.0.1"),
    ({**KEYS, "HUAWEICLOUD_SDK_IAM_ENDPOINT": "https://iam.example.com"}, {"region": "eu-de"}, "not the IAM of region"),
    (TOKEN, {"region": "eu-nl", "iam_endpoint": OTC_IAM}, "not sent to sdrs.eu-nl.otc.t-systems.com: give"),
]


@pytest.mark.parametrize(("environ", "flags", "message"), BAD)
def test_what_cannot_be_used_is_refused_before_anything_is_sent(
    environ: dict[str, str], flags: dict[str, Any], message: str
) -> None:
    """Missing halves, contradictions, plain http, and a credential of another cloud: an error, nothing is sent."""
    with pytest.raises(ConfigError, match=message):
        account(environ, **flags)


def test_a_credentials_file_comes_last_and_needs_no_extra(home: Path) -> None:
    """`~/.huaweicloud/credentials` is used where nothing else is there, with the IAM that it names."""
    write_credentials(home, f"[basic]\nak = ABCD\nsk = the-secret\niam_endpoint = {OTC_IAM}\n")
    environ = {"HOME": str(home)}
    for kind in (CredentialKind.AUTO, CredentialKind.HUAWEI):
        found = account(environ, region="eu-de", credential=kind)
        assert (found.name, found.iam_endpoint, type(found.auth)) == ("credentials file", OTC_IAM, AkSk)
    assert choose(Asked(), environ | TOKEN)[1] == ["credentials file"]
    with pytest.raises(ConfigError, match=r"--signature\) is for access keys, and the credential is credentials file"):
        account(environ, region="eu-de", signature=Signature.CREDENTIAL)


def test_the_vendors_chain_is_asked_for_by_name() -> None:
    """`--credential huawei` without a credentials file is what the vendor's SDK finds, in either form of signature."""
    for signature in Signature:
        found = account({}, region="eu-de", credential=CredentialKind.HUAWEI, signature=signature)
        assert isinstance(found.auth, HuaweiAuth)


def test_a_profile_of_a_fleet_has_to_have_keys(tmp_path: Path) -> None:
    """A credentials file that is named is read from there."""
    (tmp_path / "keys").write_text("[basic]\nak = ABCD\nsk = the-secret\n", "utf-8")
    source = HuaweiProfile(str(tmp_path / "keys")).source(Asked(), {})
    assert isinstance(source.make(None), AkSk)
    (tmp_path / "keys").write_text("[basic]\n", "utf-8")
    with pytest.raises(ConfigError, match="ak and sk are missing"):
        source.make(None)


# ---- which hosts


HUAWEI_IAM = {"HUAWEICLOUD_SDK_IAM_ENDPOINT": "https://iam.myhuaweicloud.com"}
SET = {"HUAWEICLOUD_SDK_REGION_SDRS_EU_DE": "https://sdrs.set.example.com"}
HOSTS = [
    (TOKEN, {"region": "eu-de"}, (OTC, OTC_IAM, "eu-de")),
    ({**TOKEN, "OS_REGION_NAME": "eu-de"}, {}, (OTC, OTC_IAM, "eu-de")),
    ({**TOKEN, "OS_REGION_NAME": "eu-nl"}, {"region": "eu-de"}, (OTC, OTC_IAM, "eu-de")),
    ({**TOKEN, "OS_REGION_NAME": "eu-nl"}, {"endpoint": OTC}, (OTC, OTC_IAM, "eu-de")),
    (TOKEN, {"endpoint": f"{OTC}/v1/{'a' * 32}"}, (OTC, OTC_IAM, "eu-de")),
    (TOKEN, {"endpoint": "https://sdrs.example.com"}, ("https://sdrs.example.com", None, None)),
    # Variables that are empty say nothing.
    ({**TOKEN, "OS_AUTH_URL": "", "HUAWEICLOUD_SDK_IAM_ENDPOINT": ""}, {"region": "eu-de"}, (OTC, OTC_IAM, "eu-de")),
    ({**KEYS, "HUAWEICLOUD_SDK_IAM_ENDPOINT": ""}, {"region": "eu-de"}, (OTC, OTC_IAM, "eu-de")),
    ({**TOKEN, "HW_CLOUD": " ", "OS_AUTH_URL": " ", "OS_CLOUD": " ", "OS_REGION_NAME": "eu-de", "HW_ACCESS_KEY": "\t"},
     {}, (OTC, OTC_IAM, "eu-de")),
    ({**TOKEN, "HW_CLOUD": "myhuaweicloud.com"}, {"endpoint": OTC}, (OTC, None, "eu-de")),
    ({**TOKEN, "HW_CLOUD": "otc.t-systems.com"}, {"region": "eu-de"}, (OTC, OTC_IAM, "eu-de")),
    ({**TOKEN, **SET}, {"region": "eu-de"}, ("https://sdrs.set.example.com", None, "eu-de")),
    ({**TOKEN, **SET}, {"region": "eu-de", "endpoint": "https://a.example.com"},
     ("https://a.example.com", None, "eu-de")),
    (TOKEN, {"region": "eu-west-101"},
     ("https://sdrs.eu-west-101.myhuaweicloud.eu", "https://iam.eu-west-101.myhuaweicloud.eu", "eu-west-101")),
    ({**TOKEN, "HW_CLOUD": "cloud.example.com"}, {"region": "my-1"},
     ("https://sdrs.my-1.cloud.example.com", "https://iam.my-1.cloud.example.com", "my-1")),
    ({**TOKEN, "HW_CLOUD": "prod-cloud-ocb.orange-business.com"}, {"region": "eu-west-0"},
     ("https://sdrs.eu-west-0.prod-cloud-ocb.orange-business.com",
      "https://iam.eu-west-0.prod-cloud-ocb.orange-business.com", "eu-west-0")),
    (TOKEN, {"region": "eu-west-0", "endpoint": "https://sdrs.example.com"},
     ("https://sdrs.example.com", None, "eu-west-0")),
    (TOKEN, {"endpoint": "https://sdrs.eu-west-0.myhuaweicloud.com"},
     ("https://sdrs.eu-west-0.myhuaweicloud.com", None, "eu-west-0")),
    (TOKEN, {"region": "eu-west-0", "iam_endpoint": "https://iam.eu-west-0.myhuaweicloud.com/v3"},
     ("https://sdrs.eu-west-0.myhuaweicloud.com", "https://iam.eu-west-0.myhuaweicloud.com", "eu-west-0")),
    ({**TOKEN, "HUAWEICLOUD_SDK_REGION_SDRS_EU_WEST_0": "https://sdrs.example.com/v1/$(tenant_id)s"},
     {"region": "eu-west-0"}, ("https://sdrs.example.com", None, "eu-west-0")),
    ({**HW_KEYS, "HW_REGION_NAME": "cn-north-4", "OS_REGION_NAME": "eu-de"}, {},
     ("https://sdrs.cn-north-4.myhuaweicloud.com", "https://iam.cn-north-4.myhuaweicloud.com", "cn-north-4")),
    ({**HW_KEYS, "HW_REGION_NAME": "cn-north-4", "HW_AUTH_URL": "https://iam.myhuaweicloud.com:443/v3"}, {},
     ("https://sdrs.cn-north-4.myhuaweicloud.com", "https://iam.myhuaweicloud.com", "cn-north-4")),
    ({**HW_KEYS, "HW_REGION_NAME": "", "OS_REGION_NAME": "cn-north-4", "HW_AUTH_URL": ""}, {},
     ("https://sdrs.cn-north-4.myhuaweicloud.com", "https://iam.cn-north-4.myhuaweicloud.com", "cn-north-4")),
    ({**TOKEN, "OS_REGION_NAME": "eu-de", "HW_REGION_NAME": "cn-north-4"}, {}, (OTC, OTC_IAM, "eu-de")),
    *(
        (TOKEN, {"endpoint": f"{OTC}/v1/{place}"}, (OTC, OTC_IAM, "eu-de"))
        for place in ("%(project_id)s", "%(tenant_id)s", "$(project_id)s", "$(tenant_id)s/", "{project_id}", "z" * 32)
    ),
    ({**TOKEN, "OS_AUTH_URL": f"{OTC_IAM}/v3", **HUAWEI_IAM}, {"region": "eu-de"}, (OTC, OTC_IAM, "eu-de")),
    ({**KEYS, **HUAWEI_IAM}, {"region": "cn-north-4"},
     ("https://sdrs.cn-north-4.myhuaweicloud.com", "https://iam.myhuaweicloud.com", "cn-north-4")),
    ({**KEYS, **HUAWEI_IAM}, {"region": "eu-de", "iam_endpoint": f"{OTC_IAM}/v3/"}, (OTC, OTC_IAM, "eu-de")),
    ({**USER, "OS_REGION_NAME": "eu-de", **SET}, {}, ("https://sdrs.set.example.com", OTC_IAM, "eu-de")),
    (TOKEN, {"endpoint": "https://sdrs.eu-ch2.sc.otc.t-systems.com", "region": "eu-ch2"},
     ("https://sdrs.eu-ch2.sc.otc.t-systems.com", None, "eu-ch2")),
]  # fmt: skip


@pytest.mark.parametrize(("environ", "flags", "hosts"), HOSTS)
def test_endpoint_iam_and_region(
    environ: dict[str, str], flags: dict[str, Any], hosts: tuple[str, str | None, str | None]
) -> None:
    """The flag, then the variable of the region, then the pattern; IAM is that of the credential, or of the pattern."""
    found = account(environ, **flags)
    assert (found.endpoint, found.iam_endpoint, found.region) == hosts


@pytest.mark.parametrize("name", ["OS_CACERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
@pytest.mark.parametrize("credential", [TOKEN, USER, KEYS])
def test_certificates_of_the_environment_are_looked_at_first(
    credential: dict[str, str], name: str, tmp_path: Path
) -> None:
    """Whoever signs in, and however: a file without any is named with its variable before anything is sent."""
    authority = tmp_path / "ca.pem"
    authority.write_text("", "utf-8")
    with pytest.raises(ConfigError, match=rf"ca\.pem' that {name} names cannot be used: it holds no certificate"):
        account({**credential, name: str(authority)}, region="eu-de")


# ---- asking for the endpoint


@asynccontextmanager
async def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> AsyncIterator[Simulator]:
    """A simulator, and a clouds.yaml with its cloud `prod`; `auth` and `settings` are more of it."""
    auth, settings = options.pop("auth", {}), options.pop("settings", {})
    async with Simulator(projects=2, groups=3, **options) as simulator:
        env = simulator.environment
        known = {
            "auth_url": env["OS_AUTH_URL"], "username": env["OS_USERNAME"], "password": env["OS_PASSWORD"],
            "user_domain_name": env["OS_USER_DOMAIN_NAME"], "project_domain_name": env["OS_USER_DOMAIN_NAME"], **auth,
        }  # fmt: skip
        lines = [f"      {key}: '{value}'" for key, value in known.items()]
        more = [f"    {key}: {value}" for key, value in {"region_name": "eu-de", **settings}.items()]
        path = tmp_path / "clouds.yaml"
        path.write_text("\n".join(["clouds:", "  prod:", *more, "    auth:", *lines]) + "\n", "utf-8")
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
        yield simulator


async def resolved(environ: Mapping[str, str], projects: tuple[str, ...] = (), **flags: Any) -> Account:
    """The account that flags and environment come to, with what IAM says."""
    with patch.dict(os.environ, environ):
        connection = of_flags(replace(FLAGS, **flags), environ)
    (name,) = (one.name for one in connection.pending)
    (account,) = (await connection.resolve({name: projects})).accounts
    return account


async def test_the_catalog_names_the_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What the account's own token names is used; without it that of a project, given or the first that is listed.

    Each sign-in is in the log, as one of this account.
    """
    caplog.set_level(logging.INFO, "sdrs_async")
    async with cloud(tmp_path, monkeypatch, auth={"project_name": "eu-de"}) as simulator:
        found = await resolved({}, os_cloud="prod")
        assert (found.name, found.endpoint, found.region) == ("cloud prod", simulator.url, "eu-de")
        assert [entry.route for entry in simulator.log] == ["create_token"]
    async with cloud(tmp_path, monkeypatch) as simulator:
        project = simulator.targets[-1][0]
        assert (await resolved({}, (project,), os_cloud="prod")).endpoint == simulator.url
        assert [entry.project_id for entry in simulator.log] == [None, project]
        told = [record.getMessage() for record in caplog.records if "signed in: " in record.getMessage()]
        assert [line.partition(", good")[0] for line in told[1:]] == [
            "signed in: cloud prod",
            f"signed in: project {project} of cloud prod",
        ]
        simulator.log.clear()
        assert (await resolved({}, os_cloud="prod")).endpoint == simulator.url
        routes = [entry.route for entry in simulator.log]
        assert routes == ["create_token", "list_own_projects", "create_token"]
        # A first target that is somebody else's is no reason to give up.
        assert (await resolved({}, ("f" * 32,), os_cloud="prod")).endpoint == simulator.url


async def test_an_override_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sdrs_endpoint_override` of clouds.yaml goes before the catalog, and is held to the rule of https."""
    settings = {"sdrs_endpoint_override": "https://sdrs.mine.example.com"}
    async with cloud(tmp_path, monkeypatch, settings=settings) as simulator:
        assert (await resolved({}, os_cloud="prod")).endpoint == "https://sdrs.mine.example.com"
        assert simulator.log == []
    settings = {"sdrs_endpoint_override": "http://sdrs.mine.example.com"}
    async with cloud(tmp_path, monkeypatch, settings=settings):
        with pytest.raises(ConfigError, match="unencrypted"):
            await resolved({}, os_cloud="prod")


@pytest.mark.parametrize("projects", [0, 2])
async def test_a_cloud_that_names_no_endpoint_is_not_sent_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, projects: int
) -> None:
    """Without the service in the catalog, a private cloud's credential does not go to a public host: `--endpoint`."""
    async with cloud(tmp_path, monkeypatch, settings={"region_name": "eu-nl"}) as simulator:
        if not projects:
            monkeypatch.setattr(Simulator, "targets", [])
        with pytest.raises(ConfigError, match=r"not the IAM of region eu-nl.*--endpoint"):
            await resolved({}, os_cloud="prod")
        assert {entry.route for entry in simulator.log} == {"create_token", "list_own_projects"}


async def test_the_pattern_is_for_the_clouds_own_iam(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the cloud's IAM is that of the region, and its catalog knows no SDRS, the pattern says where it is."""

    async def nothing(auth: KeystoneAuth, project_id: str | None = None) -> None: ...

    monkeypatch.setattr(KeystoneAuth, "endpoint", nothing)
    monkeypatch.setattr("sdrs_async.accounts.account.Pending._first_listed", lambda *_: nothing(None))  # type: ignore[arg-type] # not asked
    found = await resolved({**USER, "OS_REGION_NAME": "eu-de"} | TOKEN, credential=CredentialKind.OPENSTACK)
    assert (found.endpoint, found.iam_endpoint) == (OTC, OTC_IAM)


async def test_a_throttled_iam_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """429 and 503 of IAM are no reason to give up; a wrong password is one at once."""
    faults = [Fault("status", status=503, route="create_token", times=2)]
    async with cloud(tmp_path, monkeypatch, auth={"project_name": "eu-de"}, faults=faults) as simulator:
        assert (await resolved({}, os_cloud="prod")).endpoint == simulator.url
        assert [entry.status for entry in simulator.log] == [503, 503, 201]
    async with cloud(tmp_path, monkeypatch, auth={"password": "wrong"}) as simulator:
        with pytest.raises(AuthenticationError, match=r"cloud prod: .*401"):
            await resolved({}, os_cloud="prod")
        assert len(simulator.log) == 1


async def test_an_iam_that_never_lets_up_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the tries nor the time are without end."""
    faults = [Fault("status", status=503, route="create_token")]
    async with cloud(tmp_path, monkeypatch, faults=faults) as simulator:
        with pytest.raises(AuthenticationError, match="503"):
            await resolved({}, os_cloud="prod", retry=RetryPolicy(attempts=3, base=0.001))
        assert len(simulator.log) == 3
    faults = [Fault("hang", route="create_token")]
    async with cloud(tmp_path, monkeypatch, faults=faults):
        with pytest.raises(AuthenticationError, match=r"^cloud prod: nothing named the endpoint within 0\.3 s"):
            await resolved({}, os_cloud="prod", retry=RetryPolicy(timeout=20.0, total=0.3))


async def test_projects_that_cannot_be_listed_name_no_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the list of projects that would be asked is refused, the account is lost, with the reason."""
    faults = [Fault("status", status=403, route="list_own_projects")]
    async with cloud(tmp_path, monkeypatch, faults=faults):
        with pytest.raises(AuthenticationError, match=r"^cloud prod: the projects cannot be listed"):
            await resolved({}, os_cloud="prod")


# ---- as a user sees it


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (["--region", "eu-de"], "OS_TOKEN: token"),
        (["--region", "eu-de", "--credential", "ak-sk"], "access key {}...: access key"),
        (["--credential", "ak-sk", "--signature", "credential"], "access key {}...: access key"),
        (["--credential", "openstack"], "OS_USERNAME: sign-in with the OS_* variables"),
        (["--credential", "huawei"], "huawei chain: access key of the vendor's chain"),
    ],
    ids=["token", "ak-sk", "credential form", "openstack", "huawei"],
)
async def test_what_simulate_exports_is_enough(flags: list[str], name: str) -> None:
    """With the variables of `simulate`, each kind of credential finds everything and deletes it."""
    async with Simulator(projects=2, groups=3) as simulator:
        done = await run("clean", "--all-projects", "--yes", *flags, environ=simulator.environment)
        assert done.code == 0, done.stderr
        key = simulator.environment["HUAWEICLOUD_SDK_AK"][:4]
        assert f"{name.format(key)}, {simulator.url}, region eu-de" in done.stderr.splitlines()
        note = f"using OS_TOKEN, not access key {key}..., OS_USERNAME (--credential chooses)"
        assert (note in done.stderr.splitlines()) is ("--credential" not in flags)
        assert "6 groups in 2 projects: 6 deleted" in done.stdout
        assert simulator.remaining == 0


async def test_the_host_of_iam_is_shown_where_it_is_another() -> None:
    """Who lists the projects gets the credential too, and so is shown before."""
    async with Simulator(projects=1, groups=1) as simulator, Simulator(projects=1, groups=1) as other:
        args = ["plan", "--all-projects", "--endpoint", simulator.url, "--iam-endpoint", f"{other.url}/v3"]
        done = await run(*args, token=simulator.token)
        assert done.code == 0, done.stderr
        assert done.stderr == f"OS_TOKEN: token, {simulator.url}, IAM {other.url}\n"


async def test_without_iam_all_projects_cannot_be_listed() -> None:
    """An endpoint alone does not say who lists the projects: exit code 2, nothing is sent; ids need no IAM."""
    async with Simulator(projects=1, groups=2) as simulator:
        args = ["clean", "--endpoint", simulator.url, "--yes"]
        done = await run(*args, "--all-projects", token=simulator.token)
        assert (done.code, done.stdout) == (2, "")
        assert "error: OS_TOKEN: its projects are listed by IAM: name it with --iam-endpoint" in done.stderr
        assert simulator.log == []
        done = await run(*args, "--project", simulator.targets[0][0], token=simulator.token)
        assert (done.code, simulator.remaining) == (0, 0)


async def test_a_list_of_targets_with_a_cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--targets` with a sign-in: the endpoint is learnt first; a dry run sends nothing, not even that."""
    async with cloud(tmp_path, monkeypatch) as simulator:
        args = ["clean", "--targets", write_targets(tmp_path, simulator), "--os-cloud", "prod"]
        done = await run(*args, "--dry-run")
        assert done.code == 0, done.stderr
        asked = f"the endpoint that {simulator.url}/v3 names"
        assert f"would delete the failed tasks of 6 protection groups in 2 projects at {asked}; nothing" in done.stdout
        assert simulator.log == []
        done = await run(*args, "--yes")
        assert done.code == 0, done.stderr
        assert done.stderr.startswith(
            f"cloud prod: sign-in of clouds.yaml at {simulator.url}/v3, to learn the service's endpoint\n"
            f"cloud prod: sign-in of clouds.yaml, {simulator.url}, region eu-de\n"
        )
        assert simulator.remaining == 0
        assert [entry.project_id for entry in simulator.log if entry.route == "list_own_projects"] == []


async def test_unchecked_certificates_are_said_loudly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`verify: false` of clouds.yaml is heard, also with `--quiet`."""
    async with cloud(tmp_path, monkeypatch, settings={"verify": "false"}):
        done = await run("plan", "--all-projects", "--os-cloud", "prod", "--quiet")
    assert done.code == 0, done.stderr
    assert "CERTIFICATES ARE NOT CHECKED" in done.stderr


@pytest.mark.parametrize(
    ("command", "number", "code"),
    [("clean", signal.SIGINT, 130), ("plan", signal.SIGTERM, 143), ("doctor", signal.SIGINT, 130)],
)
async def test_a_signal_ends_a_sign_in_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, number: signal.Signals, code: int
) -> None:
    """Ctrl-C while IAM does not answer: at once, 130, no report, no traceback."""
    async with cloud(tmp_path, monkeypatch, faults=[Fault("hang", route="create_token")]) as simulator:
        more = {"clean": ["--all-projects", "--yes", "--json", str(tmp_path / "r")], "plan": ["--all-projects"]}
        async with process(command, "--os-cloud", "prod", *more.get(command, [])) as started:
            await until(lambda: simulator.log)
            started.send_signal(number)
            done = await finished(started)
        assert (done.code, done.stdout) == (code, "")
        assert done.stderr.splitlines()[-1] in ("interrupted", "terminated")
        assert list(texts(tmp_path)) == ["clouds.yaml"]


async def test_a_wrong_password_is_exit_code_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sign-in, no request to the service, a message that names the account and what to do, and a report of it."""
    async with cloud(tmp_path, monkeypatch, auth={"password": "wrong-password"}) as simulator:
        args = ["--targets", write_targets(tmp_path, simulator), "--json", str(tmp_path / "report.json")]
        done = await run("clean", *args, "--yes", "--os-cloud", "prod", "--log-level", "debug")
        # Without a project of its own, the account asks for a token of the first target's project.
        assert {entry.route for entry in simulator.log} == {"create_token"}
    assert done.code == 3
    assert "no account could sign in (exit code 3)" in done.stdout
    assert "error: cloud prod: no token for" in done.stderr
    assert "the user, its domain, or the password or key is wrong" in done.stderr
    document = report(tmp_path)
    assert [one["account"] for one in document["accounts"]["failed"]] == ["cloud prod"]
    assert document["targets"]["planned"] == document["targets"]["unsettled"] == 6
    assert "wrong-password" not in "".join([done.stdout, done.stderr, (tmp_path / "report.json").read_text("utf-8")])


@pytest.mark.parametrize("kind", ["targets", "all"])
async def test_a_wrong_key_is_tried_once(tmp_path: Path, kind: str) -> None:
    """A wrong secret key: one signed request, exit code 3, the account and the remedy, no secret, all files."""
    async with Simulator(projects=10, groups=100) as simulator:
        environ = {**simulator.environment, "HUAWEICLOUD_SDK_SK": "not-the-secret-key"}
        chosen = ["--all-projects"] if kind == "all" else ["--targets", write_targets(tmp_path, simulator)]
        files = ["--json", str(tmp_path / "report.json"), "--html", str(tmp_path / "page")]
        args = ["clean", *chosen, "--credential", "ak-sk", "--yes", "--log-level", "debug", *files]
        done = await run(*args, environ=environ)
        assert done.code == 3
        assert len(simulator.log) == 1
        name = f"access key {environ['HUAWEICLOUD_SDK_AK'][:4]}..."
        assert f"error: no account could sign in ({name}: " in done.stderr
        assert "Check access key, secret key and this machine's clock" in done.stderr
        targets = report(tmp_path)["targets"]
        assert targets["planned"] == targets["failed"] + targets["skipped"] == (0 if kind == "all" else 1000)
        written = "".join([done.stdout, done.stderr, *texts(tmp_path).values()])
    for name in ("HUAWEICLOUD_SDK_SK", "OS_PASSWORD", "OS_TOKEN"):
        assert environ[name] not in written


# Each credential where most is sent, and each command with the one that has a password and makes tokens of it.
@pytest.mark.parametrize(
    ("command", "kind"),
    [
        *[("clean", kind) for kind in ("token", "ak-sk", "openstack", "huawei")],
        *[("plan", "openstack"), ("doctor", "openstack"), ("doctor", "ak-sk")],
    ],
)
async def test_no_secret_is_in_any_output(tmp_path: Path, command: str, kind: str) -> None:
    """With the log at its fullest, no password, secret key or token is in anything that is written."""
    async with Simulator(projects=2, groups=3, faults=[Fault("status", 0.2, status=401)]) as simulator:
        environ = simulator.environment
        files = [] if command == "doctor" else ["--json", str(tmp_path / "report.json")]
        if command == "clean":
            files += ["--yes", "--results", str(tmp_path / "results"), "--html", str(tmp_path / "page")]
        chosen = [] if command == "doctor" else ["--all-projects"]
        done = await run(command, *chosen, *files, "--credential", kind, "--log-level", "debug", environ=environ)
    assert done.code in (0, 1, 3)
    assert "DEBUG sdrs_async" in done.stderr or kind == "huawei"
    written = "".join([done.stdout, done.stderr, *texts(tmp_path).values()])
    assert environ["OS_TOKEN"].startswith("SIM-")  # as all tokens do that are signed in for
    for secret in (environ["HUAWEICLOUD_SDK_SK"], environ["OS_PASSWORD"], "SIM-"):
        assert secret not in written
