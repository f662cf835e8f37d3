"""Tokens from IAM: what clouds.yaml and `OS_*` are taken to mean, and signing in to the simulator with it."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from sdrs_async.auth import Auth, SignInFailed
from sdrs_async.cloud.sites import check_endpoint
from sdrs_async.credentials.keystone import KeystoneAuth
from sdrs_async.errors import ConfigError
from sdrs_async.models import Request, Verdict
from sdrs_async.simulator import Simulator

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

SECRET = "never-to-be-seen"
# All that a cloud needs; nothing listens there.
COMPLETE = {
    "auth_url": "https://iam.test/v3",
    "username": "ann",
    "password": SECRET,
    "user_domain_name": "OTC1",
}


class Clouds:
    """The files that openstacksdk reads, as this test wants them; JSON is YAML."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch

    def write(self, clouds: Any, kind: str = "config") -> Path:
        """Write clouds.yaml or, as `secure`, its companion with the secrets."""
        path = self.folder / f"{kind}.yaml"
        path.write_text(clouds if isinstance(clouds, str) else json.dumps({"clouds": clouds}), "utf-8")
        self._monkeypatch.setenv(f"OS_CLIENT_{kind.upper()}_FILE", str(path))
        return path

    def auth(self, options: dict[str, Any] | None = None, **settings: Any) -> KeystoneAuth:
        """The credential of a cloud `prod` with these options; those that are `None` are left out."""
        given = {key: value for key, value in (COMPLETE | (options or {})).items() if value is not None}
        self.write({"prod": {"auth": given, **settings}})
        return KeystoneAuth.from_cloud("prod", sign_in_timeout=10)

    def at(self, sim: Simulator, options: dict[str, Any] | None = None, **settings: Any) -> KeystoneAuth:
        """The same for a cloud that is the simulator."""
        env = sim.environment
        account = {
            "auth_url": env["OS_AUTH_URL"],
            "username": env["OS_USERNAME"],
            "password": env["OS_PASSWORD"],
            "user_domain_name": env["OS_USER_DOMAIN_NAME"],
        }
        return self.auth(account | (options or {}), **settings)


@pytest.fixture
def clouds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clouds:
    """A folder for clouds.yaml and secure.yaml, empty at first."""
    made = Clouds(tmp_path, monkeypatch)
    made.write({})
    return made


def projects_of(sim: Simulator) -> list[str]:
    """The ids of the simulator's projects."""
    return list(dict.fromkeys(project for project, _ in sim.targets))


def sign_ins(sim: Simulator) -> list[int | None]:
    """The status of each sign-in that arrived."""
    return [entry.status for entry in sim.log if entry.route == "create_token"]


async def token(auth: Auth, project_id: str = "") -> str:
    """The token that a request would carry."""
    return (await auth.sign(Request("GET", "https://sdrs.test/v1"), project_id))["X-Auth-Token"]


# ---- signing in -----------------------------------------------------------------------------------------------------


async def test_the_environment_signs_in_with_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """All `OS_*` variables of the simulator at once, a token among them: the password is used, once per project."""
    async with Simulator(projects=2, groups=1) as sim:
        for name, value in sim.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("OS_TOKEN", "of-yesterday")
        auth = KeystoneAuth.from_env()
        first, second = projects_of(sim)
        bought = [await token(auth, first), await token(auth, second), await token(auth, first)]
        assert bought[0] == bought[2] != bought[1]
        assert sign_ins(sim) == [201] * 3  # the account itself, and two projects
        assert 86_000 < await auth.prepare(first) <= 86_400 - 120
        headers, url = {"X-Auth-Token": await token(auth)}, f"{sim.url}/v3/auth/projects"
        async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as answer:
            assert answer.status == 200
        assert auth.region == "eu-de"


async def test_a_token_is_for_one_project(clouds: Clouds) -> None:
    """Whatever scope is configured, a project's token is that project's; the account's own has the configured one."""
    async with Simulator(projects=3, groups=1) as sim:
        domain = sim.environment["OS_PROJECT_DOMAIN_NAME"]
        auth = clouds.at(sim, {"project_name": "eu-de", "project_domain_name": domain})
        third = projects_of(sim)[2]
        assert await auth.endpoint() == f"{sim.url}/v1"
        assert await auth.endpoint(third) == f"{sim.url}/v1"


async def test_a_project_of_others_is_refused_for_itself_alone(clouds: Clouds) -> None:
    """The account is proven first, so a refusal is the project's; the next project signs in."""
    async with Simulator(projects=1, groups=1) as sim:
        auth = clouds.at(sim)
        with pytest.raises(SignInFailed, match=f"no token for project {'0' * 32}: 401 ") as caught:
            await auth.prepare("0" * 32)
        assert (caught.value.reply.verdict, caught.value.reply.whole_account) == (Verdict.UNAUTHORIZED, False)
        assert await token(auth, projects_of(sim)[0])
        assert sign_ins(sim) == [201, 401, 201]


async def test_the_vendor_s_own_file_signs_in(clouds: Clouds) -> None:
    """A project by its name, the user's domain, no project domain; keys beside the password do not get in the way."""
    async with Simulator(projects=2, groups=1) as sim:
        auth = clouds.at(
            sim,
            {"project_name": "eu-de"},
            profile="otc",
            interface="public",
            identity_api_version=3,
            ak="AK",
            sk="SK",
        )
        assert [await token(auth), await token(auth, projects_of(sim)[1])]
        assert sign_ins(sim) == [201] * 2


@pytest.mark.parametrize("scope", ["target_project_name", "target_project_id", None])
async def test_an_agency_signs_in_without_otcextensions(
    clouds: Clouds, monkeypatch: pytest.MonkeyPatch, scope: str | None
) -> None:
    """The user first, then its role in the account that lends: for the account, and for each project."""
    for name in [name for name in sys.modules if name.startswith("otcextensions")] + ["otcextensions"]:
        monkeypatch.setitem(sys.modules, name, None)
    async with Simulator(projects=2, groups=1) as sim:
        first, second = projects_of(sim)
        target = {"target_project_name": "eu-de", "target_project_id": first}
        options = {"target_agency_name": sim.agency.name, "target_domain_name": sim.agency.domain}
        auth = clouds.at(sim, options | ({scope: target[scope]} if scope else {}), auth_type="agency")
        assert len({await token(auth), await token(auth, first), await token(auth, second)}) == 3
        assert sign_ins(sim) == [201] * 6
        assert await auth.endpoint(second) == f"{sim.url}/v1"


async def test_a_wrong_password_is_tried_once(clouds: Clouds) -> None:
    """Accounts lock: the first refusal stops the whole account, and is raised again without asking."""
    async with Simulator(projects=2, groups=1) as sim:
        auth = clouds.at(sim, {"password": "wrong-password"})
        for project_id in (*projects_of(sim), ""):
            with pytest.raises(SignInFailed, match=r"password or key is wrong\. It is not tried again") as caught:
                await token(auth, project_id)
            assert caught.value.reply.whole_account
            assert "cloud 'prod'" in str(caught.value)
        assert sign_ins(sim) == [401]


async def test_a_configured_project_that_is_refused_may_be_the_cause(clouds: Clouds) -> None:
    """IAM answers alike to a wrong password and to a project of others, so the message names both."""
    async with Simulator(projects=1, groups=1) as sim:
        auth = clouds.at(sim, {"project_id": "0" * 32})
        with pytest.raises(
            SignInFailed, match=r"password or key is wrong, or the user has no access to .* project_id '0000"
        ):
            await auth.prepare(projects_of(sim)[0])


async def test_no_secret_is_written(clouds: Clouds, caplog: pytest.LogCaptureFixture) -> None:
    """With every logger at debug, after sign-ins that worked and that did not."""
    caplog.set_level(logging.DEBUG)
    async with Simulator(projects=1, groups=1) as sim:
        auth = clouds.at(sim)
        seen = [await token(auth), await token(auth, projects_of(sim)[0]), sim.environment["OS_PASSWORD"]]
        wrong = clouds.at(sim, {"password": SECRET})
        with pytest.raises(SignInFailed) as caught:
            await wrong.prepare("")
    assert "Making authentication request to" in caplog.text  # keystoneauth's own did speak
    written = f"{caplog.text}{auth}{auth!r}{vars(auth)}{caught.value!r}"
    assert [secret for secret in (*seen, SECRET) if secret in written] == []
    assert repr(auth) == "KeystoneAuth(cloud 'prod')"


# ---- what is configured ---------------------------------------------------------------------------------------------


def test_secrets_may_stand_in_their_own_file(clouds: Clouds) -> None:
    """secure.yaml is laid over clouds.yaml."""
    clouds.write({"prod": {"auth": {key: value for key, value in COMPLETE.items() if key != "password"}}})
    with pytest.raises(ConfigError, match="cloud 'prod': password missing"):
        KeystoneAuth.from_cloud("prod")
    clouds.write({"prod": {"auth": {"password": SECRET}}}, "secure")
    assert KeystoneAuth.from_cloud("prod").iam_endpoint == "https://iam.test/v3"


@pytest.mark.parametrize(("region", "host"), [(None, "iam.eu-de"), ("eu-de", "iam.eu-de"), ("eu-nl", "iam.eu-nl")])
def test_a_vendor_profile_fills_in(clouds: Clouds, region: str | None, host: str) -> None:
    """Profile `otc` knows the address of each of its regions."""
    clouds.write({"otc": {"profile": "otc", "auth": {key: COMPLETE[key] for key in COMPLETE if key != "auth_url"}}})
    auth = KeystoneAuth.from_cloud("otc", region=region)
    assert auth.iam_endpoint == f"https://{host}.otc.t-systems.com/v3"
    assert auth.region == host.removeprefix("iam.")


def test_a_profile_without_a_scheme_is_https(clouds: Clouds) -> None:
    """openstacksdk's own `otc-swiss` lacks it; an address that a user writes has to have it."""
    auth = clouds.auth({"auth_url": None, "project_name": "eu-ch2"}, profile="otc-swiss")
    assert auth.iam_endpoint == "https://iam-pub.eu-ch2.sc.otc.t-systems.com/v3"
    with pytest.raises(ConfigError, match="is not a URL"):
        clouds.auth({"auth_url": "iam-pub.eu-ch2.sc.otc.t-systems.com/v3"}, profile="otc-swiss")


def test_an_address_beside_auth_is_filled_in(clouds: Clouds) -> None:
    """With the region, as openstacksdk does it, and as it is in `auth`."""
    url = "https://iam.{region_name}.otc.t-systems.com/v3"
    for auth in (
        clouds.auth({"auth_url": url}, region_name="eu-nl"),
        clouds.auth({"auth_url": None}, region_name="eu-nl", auth_url=url),
    ):
        assert auth.iam_endpoint == "https://iam.eu-nl.otc.t-systems.com/v3"


@pytest.mark.parametrize("profile", ["vexxhost", "ovh", "https://cloud.test", "http://127.0.0.1:9/"])
def test_a_profile_is_not_fetched(clouds: Clouds, profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """openstacksdk asks the vendor's host, also in plain http: before anything is sent, so that is refused."""
    monkeypatch.setattr("requests.get", None)
    with pytest.raises(ConfigError, match=rf"the profile '{profile}' \(.*line 1\) .* fetched .*: write what it says"):
        clouds.auth({}, profile=profile)


@pytest.mark.parametrize("auth_type", [None, "password"])
async def test_an_application_credential_needs_no_method(clouds: Clouds, auth_type: str | None) -> None:
    """Where no method is named, and no password is there, it is the one that signs in."""
    async with Simulator(projects=1, groups=1) as sim:
        application = sim.application_credential
        options = {"application_credential_id": application.id, "application_credential_secret": application.secret}
        nobody = dict.fromkeys(("username", "password", "user_domain_name"))
        assert await token(clouds.at(sim, {**nobody, **options}, auth_type=auth_type))
        assert sign_ins(sim) == [201]


def test_an_unknown_profile_is_one_line(clouds: Clouds, caplog: pytest.LogCaptureFixture) -> None:
    """Without an address it is an error, else the cloud does without it; no warning of Python is seen."""
    with pytest.raises(ConfigError) as caught:
        clouds.auth({"auth_url": None}, profile="otcs")
    at = f"(clouds.prod.profile in {clouds.folder / 'config.yaml'}, line 1)"
    text = f"cloud 'prod': there is no profile 'otcs' {at}, but there is 'otc', and no auth_url is given"
    assert str(caught.value) == text
    assert clouds.auth(profile="telekom").iam_endpoint == COMPLETE["auth_url"]
    assert caplog.messages == [f"cloud 'prod': there is no profile 'telekom' {at}: it goes without"]


async def test_what_a_profile_leaves_empty_is_not_the_word_none(
    clouds: Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """openstacksdk would ask for a project of that name."""
    async with Simulator(projects=1, groups=1) as sim:
        profile = {"auth": {"project_name": None, "project_id": "", "user_domain_name": None}}
        path = clouds.folder / "clouds-public.json"
        path.write_text(json.dumps({"public-clouds": {"lab": profile}}), "utf-8")
        monkeypatch.setattr("openstack.config.loader.VENDOR_FILES", [str(path)])
        assert await token(clouds.at(sim, profile="lab"))


def test_what_the_sdk_warns_of_is_no_warning_of_python(clouds: Clouds) -> None:
    """Old words, lists in one word, networks and metrics that are not for us; pytest makes an error of each warning."""
    settings: dict[str, Any] = {
        "cloud": "otc",
        "region_name": "eu-de,eu-nl",
        "external_network": "n",
        "cacert": "/x",
        "verify": False,
    }
    assert clouds.auth(**settings).region == "eu-de"
    clouds.write(json.dumps({"clouds": {"prod": {"auth": COMPLETE}}, "metrics": {"influxdb": {"host": "h"}}}))
    assert KeystoneAuth.from_cloud("prod").region is None


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        ({"auth_url": None}, {}, r"auth_url missing \(sign-in method password\) in clouds\.prod of /.*/config\.yaml"),
        ({"password": None}, {}, r"password missing .* of /.*/config\.yaml, and OS_PASSWORD is not set$"),
        ({"username": None, "password": None}, {}, "username or user_id, password missing"),
        ({"user_domain_name": None}, {}, r"user_domain_name or user_domain_id missing"),
        (
            {"project_name": "eu-de"},
            {"auth_type": "v3password"},
            r"either a project_domain_id or project_domain_name\. \(clouds\.prod of /.*/config\.yaml\)$",
        ),
        ({"token": "t"}, {"auth_type": "v3oidcaccesstoken"}, "were not given: .*access.token"),
        ({}, {"auth_type": "v9"}, "v9"),
        ({}, {"auth_type": "none"}, "gets no token from IAM"),
        ({}, {"auth_type": "http_basic", "endpoint": "https://iam.test"}, "gets no token from IAM"),
        (
            {"auth_url": "http://iam.test/v3"},
            {},
            "auth_url .*: endpoint 'http://iam.test/v3' would send .* unencrypted",
        ),
        ({"auth_url": "iam.test/v3"}, {}, "auth_url .*: endpoint 'iam.test/v3' is not a URL"),
        (
            {},
            {"sdrs_endpoint_override": "sdrs"},
            r"sdrs_endpoint_override \(clouds\.prod of .*\): endpoint 'sdrs' is not",
        ),
        ({}, {"sdrs_endpoint_override": f"https://a:{SECRET}@sdrs.test"}, r"override \(clouds\..*: .* no user, query"),
        ({"auth_url": f"https://ann:{SECRET}@iam.test/v3"}, {}, "no user, query or fragment"),
        ({"auth_url": f"https://{{{SECRET}}}.test/v3"}, {}, "has not the shape that openstacksdk expects"),
        ({}, {"cacert": "/no/such.pem"}, "the CA file '/no/such.pem' that cacert names cannot be used: No such"),
        ({}, {"region_name": "eu-de", "regions": ["eu-nl", {"values": {}}]}, "Invalid region entry"),
    ],
)
def test_what_is_missing_is_named(
    clouds: Clouds, options: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    """A `ConfigError` with the cloud and the cause, never a secret, before anything is sent."""
    with pytest.raises(ConfigError, match=message) as caught:
        clouds.auth(options, **settings)
    assert "cloud 'prod'" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_an_unknown_cloud_or_region_is_named_with_those_there_are(clouds: Clouds) -> None:
    """Who mistypes a name sees the right ones."""
    path = clouds.write({"prod": {"auth": COMPLETE, "region_name": "eu-de"}, "test": {"auth": COMPLETE}})
    with pytest.raises(ConfigError) as caught:
        KeystoneAuth.from_cloud("prd")
    assert str(caught.value) == f"cloud 'prd' is not in {path}, which has 'prod', 'test'"
    with pytest.raises(ConfigError, match=r"cloud 'prod': Region eu-nl is not a valid .* choices are eu-de"):
        KeystoneAuth.from_cloud("prod", region="eu-nl")


def test_without_any_file_the_places_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing to read from at all."""
    monkeypatch.setattr("openstack.config.loader.CONFIG_FILES", [])
    with pytest.raises(ConfigError, match=r"cloud 'prod' is not in any clouds\.yaml: none was found in this directory"):
        KeystoneAuth.from_cloud("prod")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"clouds:\n  prod:\n    auth:\n      password: *{SECRET}\n", "line 4: this is not valid YAML"),
        (f"clouds: {{prod: {{auth: {SECRET}}}}}", "has not the shape"),
        (f"clouds: {{prod: {SECRET}}}", "has not the shape of a cloud"),
        (f"clouds: {{prod: &a {{auth: *a, password: {SECRET}}}}}", "has not the shape"),
        (f"clouds: {SECRET}", "has not the shape|is not in"),
        ("clouds:", "has not the shape|is not in"),
        ("[]", "is not in|not a valid mapping"),
    ],
)
def test_a_broken_file_is_an_error_that_shows_nothing_of_it(
    clouds: Clouds, caplog: pytest.LogCaptureFixture, text: str, message: str
) -> None:
    """The SDK would log pieces of it and go on with the next file."""
    clouds.write(text)
    with pytest.raises(ConfigError, match=message) as caught:
        KeystoneAuth.from_cloud("prod")
    assert SECRET not in caplog.text + str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"other": {}}', "no cloud at all"),
        ("clouds: {no: {}, 2024: {}}", "2024, False: a name that is no word to YAML goes in quotes"),
    ],
)
def test_a_file_without_the_cloud_says_what_it_has(clouds: Clouds, text: str, shown: str) -> None:
    """In one line, and no warning goes with it."""
    path = clouds.write(text)
    with pytest.raises(ConfigError) as caught:
        KeystoneAuth.from_cloud("no")
    assert str(caught.value) == f"cloud 'no' is not in {path}, which has {shown}"


@pytest.mark.parametrize("kind", ["config", "secure"])
@pytest.mark.parametrize("fault", ["missing", "folder"])
def test_a_file_that_is_named_is_the_only_one(
    clouds: Clouds, monkeypatch: pytest.MonkeyPatch, kind: str, fault: str
) -> None:
    """openstacksdk goes on to the next place, where a cloud of the same name may be another account."""
    path = clouds.write({"prod": {"auth": COMPLETE}})
    monkeypatch.setattr(f"openstack.config.loader.{'CONFIG' if kind == 'config' else 'SECURE'}_FILES", [str(path)])
    named = clouds.folder / ("nowhere.yaml" if fault == "missing" else "")
    monkeypatch.setenv(f"OS_CLIENT_{kind.upper()}_FILE", str(named))
    with pytest.raises(ConfigError) as caught:
        KeystoneAuth.from_cloud("prod")
    shown = f"OS_CLIENT_{kind.upper()}_FILE names no file that can be read: {str(named)!r}"
    assert str(caught.value) == f"cloud 'prod': {shown}"
    monkeypatch.setenv(f"OS_CLIENT_{kind.upper()}_FILE", " ")
    assert KeystoneAuth.from_cloud("prod").iam_endpoint == COMPLETE["auth_url"]


def test_variables_need_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is named and missing is in nobody's way, as with openstacksdk; and the variables are a cloud by name."""
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", "/nowhere.yaml")
    for name, value in COMPLETE.items():
        monkeypatch.setenv(f"OS_{name.upper()}", value)
    assert KeystoneAuth.from_env().iam_endpoint == COMPLETE["auth_url"]
    monkeypatch.delenv("OS_CLIENT_CONFIG_FILE")
    monkeypatch.setattr("openstack.config.loader.CONFIG_FILES", [])
    assert KeystoneAuth.from_cloud("envvars").iam_endpoint == COMPLETE["auth_url"]


def test_a_file_may_be_a_pipe(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell's <(...) is, which can be read once."""
    pipe = clouds.folder / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(pipe))
    writer = threading.Thread(target=pipe.write_text, args=(json.dumps({"clouds": {"prod": {"auth": COMPLETE}}}),))
    writer.start()
    assert KeystoneAuth.from_cloud("prod").iam_endpoint == COMPLETE["auth_url"]
    writer.join()


def test_a_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """openstacksdk is not a dependency of the core."""
    monkeypatch.setitem(sys.modules, "openstack.config", None)
    with pytest.raises(ConfigError, match=r"pip install 'sdrs-async\[openstack\]'"):
        KeystoneAuth.from_cloud("prod")


def test_an_empty_environment_is_an_error(monkeypatch: pytest.MonkeyPatch, clouds: Clouds) -> None:
    """A cloud of clouds.yaml is not taken just because it is the only one."""
    clouds.write({"prod": {"auth": COMPLETE}})
    for name in (None, "OS_PASSWORD"):
        if name:
            monkeypatch.setenv(name, SECRET)
        with pytest.raises(ConfigError, match="OS_AUTH_URL is not set, and neither is OS_CLOUD"):
            KeystoneAuth.from_env()


OPTIONS = {
    "password": (*COMPLETE, "user_id", "project_id", "project_name", "tenant_name", "user_domain_id",
                 "project_domain_id", "project_domain_name", "domain_id", "default_domain_id",
                 "default_domain_name", "trust_id"),
    "token": ("token", "auth_token", "tenant_id"),
    "v3totp": ("passcode",),
    "v3applicationcredential": ("application_credential_id", "application_credential_secret"),
    "agency": ("target_agency_name", "target_domain_id", "target_project_id", "target_project_name",
               "target_agency_key", "roles"),
    "v3oidcpassword": ("client_id", "client_secret", "identity_provider", "username"),
}  # fmt: skip


LOST = ("0737", "off", "3.10", "21:10:30", "2031-05-07", "[1]", "{a: 1}", ".NaN", "2024-02-30T00:00:00Z")


@pytest.mark.parametrize("place", ["inside", "beside"])
@pytest.mark.parametrize(("kind", "option"), [(kind, option) for kind, names in OPTIONS.items() for option in names])
def test_no_option_is_sent_in_another_spelling(clouds: Clouds, kind: str, option: str, place: str) -> None:
    """What YAML does not read as text has lost how it was written, and the value is not shown."""
    at = "auth." if place == "inside" else ""
    for value in LOST if option == "password" else LOST[:2]:
        indent = "      " if place == "inside" else "    "
        path = clouds.write(
            f"clouds:\n  prod:\n    auth_type: {kind}\n    auth:\n      more: x\n{indent}{option}: {value}\n"
        )
        with pytest.raises(ConfigError) as caught:
            KeystoneAuth.from_cloud("prod")
        text = str(caught.value)
        if value.endswith("Z"):  # a date that there is not
            assert (
                text
                == f"cloud 'prod': {path}, line 6: a value without quotes looks like a date or a number and is none: "
                "put it in quotes"
            )
            continue
        assert text.startswith(f"cloud 'prod': clouds.prod.{at}{option} in {path}, line 6 is read as ")
        assert text.endswith("so its spelling is lost: put it in quotes")
        assert value not in text


@pytest.mark.parametrize("option", ["auth_type", "profile", "region_name"])
def test_other_words_are_no_numbers_either(clouds: Clouds, option: str) -> None:
    """openstacksdk stumbles over them without a word of where."""
    with pytest.raises(ConfigError, match=rf"clouds\.prod\.{option} in .*, line 1 is read as a number"):
        clouds.auth(**dict[str, Any]([(option, 7)]))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (f"{SECRET}\r", "ends in a carriage return: the file it comes from has Windows line ends"),
        (f"{SECRET}\n", "holds a line end or another control character: it has to be one line of text"),
        (f"{SECRET}\x1b[D", "holds a line end or another control character: it has to be one line of text"),
        (f"{SECRET}\udce9", "is not UTF-8"),
    ],
)
@pytest.mark.parametrize("option", ["PASSWORD", "USERNAME", "PROJECT_NAME", "AUTH_URL", "USER_DOMAIN_NAME"])
def test_a_word_that_ends_wrongly_is_refused(
    clouds: Clouds, monkeypatch: pytest.MonkeyPatch, option: str, value: str, why: str
) -> None:
    """As openrc files of Windows make them; wherever it stands, and never shown."""
    for name, good in COMPLETE.items():
        monkeypatch.setenv(f"OS_{name.upper()}", good)
    monkeypatch.setenv(f"OS_{option}", value)
    with pytest.raises(ConfigError) as caught:
        KeystoneAuth.from_env()
    assert str(caught.value) == f"the OS_* variables: OS_{option} {why}"
    with pytest.raises(ConfigError) as caught:
        clouds.auth({option.lower(): value})
    assert str(caught.value).startswith(f"cloud 'prod': clouds.prod.auth.{option.lower()} in ")
    assert str(caught.value).endswith(why)
    assert SECRET not in str(caught.value)


def test_a_cloud_s_name_may_end_wrongly_too(monkeypatch: pytest.MonkeyPatch, clouds: Clouds) -> None:
    """Where the name looks right, it would only be said not to be there."""
    clouds.write({"prod": {"auth": COMPLETE}})
    monkeypatch.setenv("OS_CLOUD", "prod\r")
    with pytest.raises(ConfigError, match=r"^cloud 'prod\\r': its name ends in a carriage return: .* Windows"):
        KeystoneAuth.from_env()


@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_blank_variables_count_as_absent(monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    """As scripts leave them that set all variables, used or not."""
    for name in ("CLOUD", "PROJECT_ID", "PROJECT_DOMAIN_NAME", "AUTH_TYPE", "CACERT", "INTERFACE", "TENANT_NAME"):
        monkeypatch.setenv(f"OS_{name}", blank)
    for name, value in COMPLETE.items():
        monkeypatch.setenv(f"OS_{name.upper()}", value)
    assert KeystoneAuth.from_env().iam_endpoint == COMPLETE["auth_url"]
    monkeypatch.setenv("OS_PASSWORD", blank)
    with pytest.raises(ConfigError, match=r"^the OS_\* variables: OS_PASSWORD missing \(sign-in method password\)$"):
        KeystoneAuth.from_env()


@pytest.mark.parametrize(
    ("kind", "secret", "more"),
    [
        ("password", "password", {}),
        ("v3password", "password", {}),
        ("agency", "password", {"target_agency_name": "a", "target_domain_id": "d"}),
        ("v3totp", "passcode", {}),
        ("v3applicationcredential", "application_credential_secret", {"application_credential_id": "a"}),
    ],
)
def test_a_cloud_without_its_secret_has_it_from_the_variable(
    clouds: Clouds, monkeypatch: pytest.MonkeyPatch, kind: str, secret: str, more: dict[str, str]
) -> None:
    """Only that, and only what is lacking: who signs in stands in the file."""
    options = {"password": None, "token": None, **more}
    with pytest.raises(ConfigError, match=secret):
        clouds.auth(options, auth_type=kind)
    monkeypatch.setenv(f"OS_{secret.upper()}", SECRET)
    monkeypatch.setenv("OS_USERNAME", "another")
    assert clouds.auth(options, auth_type=kind).secrets == (SECRET,)
    assert clouds.auth(options | {secret: "of the file"}, auth_type=kind).secrets == ("of the file",)
    with pytest.raises(ConfigError, match=r"username or user_id missing|application credential ID or"):
        clouds.auth({**options, "username": None, "application_credential_id": None}, auth_type=kind)
    monkeypatch.setenv(f"OS_{secret.upper()}", f"{SECRET}\r")
    with pytest.raises(ConfigError, match=rf"^cloud 'prod': OS_{secret.upper()} ends in a carriage return"):
        clouds.auth(options, auth_type=kind)


def test_a_region_that_is_written_wrongly_does_not_show_its_password(clouds: Clouds) -> None:
    """openstacksdk's message has the whole entry in it."""
    with pytest.raises(ConfigError, match="Invalid region entry: it takes a name and, under values") as caught:
        clouds.auth(regions=[{"name": "eu-de", "auth": {"password": SECRET}}])
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("method", ["v3kerberos", "v3oauth1", "v3samlpassword", "v3adfspassword"])
def test_a_method_that_needs_more_packages_names_them(clouds: Clouds, method: str) -> None:
    """Not all that keystoneauth knows works without them."""
    with pytest.raises(
        ConfigError, match=rf"^cloud 'prod': the sign-in method {method} needs more packages: pip install"
    ):
        clouds.auth(auth_type=method)


def test_the_environment_may_name_a_cloud(monkeypatch: pytest.MonkeyPatch, clouds: Clouds) -> None:
    """`OS_CLOUD` wins, as with other clients."""
    clouds.write({"prod": {"auth": COMPLETE}})
    monkeypatch.setenv("OS_CLOUD", "prod")
    monkeypatch.setenv("OS_AUTH_URL", "https://other.test")
    assert repr(KeystoneAuth.from_env()) == "KeystoneAuth(cloud 'prod')"


@pytest.mark.parametrize("family", ["OS_DOMAIN_NAME", "OS_DEFAULT_DOMAIN_NAME", "OS_USER_DOMAIN_NAME"])
def test_the_environment_is_enough(monkeypatch: pytest.MonkeyPatch, family: str, tmp_path: Path) -> None:
    """However the domain is spelled; a region that is given wins; braces in a password are its own."""
    monkeypatch.setenv("OS_AUTH_URL", "https://iam.test/v3")
    monkeypatch.setenv("OS_REGION_NAME", "eu-de")
    monkeypatch.setenv("OS_USERNAME", "ann")
    monkeypatch.setenv("OS_PASSWORD", "{region_name}{")
    monkeypatch.setenv(family, "OTC1")
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("OS_CACERT", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("OS_SDRS_ENDPOINT_OVERRIDE", "https://sdrs.test")
    auth = KeystoneAuth.from_env(region="eu-nl")
    assert (auth.region, auth.verify) == ("eu-nl", str(tmp_path / "ca.pem"))


async def test_an_override_asks_nobody(clouds: Clouds) -> None:
    """`sdrs_endpoint_override` is the endpoint of every project; nothing listens at this IAM."""
    auth = clouds.auth({}, sdrs_endpoint_override="https://sdrs.test")
    assert auth.endpoint_override == "https://sdrs.test"
    assert await auth.endpoint() == await auth.endpoint("p1") == "https://sdrs.test"


@pytest.mark.parametrize(
    ("settings", "found"), [({}, True), ({"region_name": "eu-nl"}, False), ({"interface": "internal"}, False)]
)
async def test_the_catalog_is_read_for_region_and_interface(
    clouds: Clouds, settings: dict[str, str], found: bool
) -> None:
    """The catalog may name none for these: that is no failure."""
    async with Simulator(projects=1, groups=1) as sim:
        project = projects_of(sim)[0]
        auth = clouds.at(sim, {}, **settings)
        assert await auth.endpoint(project) == (f"{sim.url}/v1" if found else None)
        assert await auth.endpoint() is None  # an unscoped token has no catalog


@pytest.mark.parametrize("place", ["{project_id}", "${tenant_id}", "%(tenant_id)s", "$(project_id)s"])
async def test_an_override_has_the_project_in_any_form(
    clouds: Clouds, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Braces too, in which openstacksdk would fill in its own settings, as the region: in a file and in variables."""
    url = f"https://sdrs.{{region_name}}.test/v1/{place}"
    auth = clouds.auth({}, sdrs_endpoint_override=url, region_name="eu-nl")
    assert check_endpoint(await auth.endpoint("p1") or "") == "https://sdrs.eu-nl.test"
    for name, value in {**COMPLETE, "region_name": "eu-nl", "sdrs_endpoint_override": url}.items():
        monkeypatch.setenv(f"OS_{name.upper()}", value)
    assert check_endpoint(await KeystoneAuth.from_env().endpoint("p1") or "") == "https://sdrs.eu-nl.test"
