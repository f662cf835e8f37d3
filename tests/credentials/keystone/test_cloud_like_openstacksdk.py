"""openstacksdk and the product are given the same files and variables, and have to send IAM the same sign-in.

Where the product refuses instead, it names file and place before it sends anything.
"""

from __future__ import annotations

import json
import re
import threading
import warnings
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from sdrs_async.credentials.keystone import KeystoneAuth
from sdrs_async.errors import ConfigError

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

TOKEN = {"issued_at": "2020-01-05T06:49:28.094000Z", "expires_at": "2099-01-05T06:49:28.094000Z", "user": {}}
Sent = tuple[str, str | None, Any]


class Handler(BaseHTTPRequestHandler):
    """Says which versions there are, lets everybody in, and writes down what each sign-in was."""

    sent: list[Sent]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        host = f"http://{self.headers['Host']}"
        version = {
            "id": "v3.6",
            "status": "stable",
            "links": [{"rel": "self", "href": f"{host}/v3/"}],
            "media-types": [],
        }
        self._answer(200, {"version": version} if "v3" in self.path else {"versions": {"values": [version]}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.sent.append((self.path, self.headers["X-Auth-Token"], body))
        scope = body["auth"].get("scope", {})
        self._answer(201, {"token": {**TOKEN, "project": scope.get("project")}})

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Subject-Token", "given")
        self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Iam(NamedTuple):
    url: str
    sent: list[Sent]


@pytest.fixture(scope="module")
def shared_iam() -> Iterator[Iam]:
    """One IAM for all cases."""
    handler = type("Recording", (Handler,), {"sent": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Iam(f"http://127.0.0.1:{server.server_port}", handler.sent)  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


@pytest.fixture
def iam(shared_iam: Iam) -> Iam:
    """It, with nothing sent."""
    shared_iam.sent.clear()
    return shared_iam


class Case(NamedTuple):
    """Files by their names, where IAM stands for its address; `refused`: what the product says, where it does."""

    files: Mapping[str, str] = MappingProxyType({})
    env: Mapping[str, str] = MappingProxyType({})
    region: str | None = None
    refused: str | None = None


def one(auth: str, *settings: str, **more: Any) -> Case:
    """A clouds.yaml with this cloud."""
    lines = ["clouds:", "  site:", *(f"    {line}" for line in settings), "    auth:"]
    text = "\n".join([*lines, "      auth_url: IAM/v3", *(f"      {line.strip()}" for line in auth.splitlines())])
    return Case({"clouds.yaml": f"{text}\n"}, **more)


def whole(text: str, **more: Any) -> Case:
    """A clouds.yaml as it stands."""
    return Case({"clouds.yaml": text}, **more)


def variables(refused: str | None = None, **env: str) -> Case:
    """An openrc file that was sourced."""
    return Case({}, {f"OS_{name}": value for name, value in env.items()}, None, refused)


USER = "username: kim\npassword: a-Pass 1\nuser_domain_name: OTC-EU-7\n"
RC = {"AUTH_URL": "IAM/v3", "USERNAME": "kim", "PASSWORD": "a-Pass 1", "USER_DOMAIN_NAME": "OTC-EU-7"}

CASES = {
    # ---- a password
    "ids alone": one("user_id: u7\npassword: a-Pass 1\nproject_id: p7"),
    "a project by its name": one(f"{USER}project_name: eu-nl_stage"),
    "a project of a domain by its id": one(f"{USER}project_name: eu-nl\nproject_domain_id: d7"),
    "a user's id, and a project's name": one("user_id: u7\npassword: x y\nproject_name: eu-nl"),
    "a tenant": one(f"{USER}tenant_name: eu-nl"),
    "a tenant's id, with dashes": one("username: kim\npassword: x\nuser-domain-id: d7\ntenant-id: p7"),
    "one domain for both": one("username: kim\npassword: x\ndomain_name: OTC-EU-7\nproject_name: eu-nl"),
    "a domain as scope": one("username: kim\npassword: x\nuser_domain_id: d7\ndomain_id: d7"),
    "a default domain": one("username: kim\npassword: x\ndefault_domain_id: d7\nproject_name: eu-nl"),
    "a default domain beside the user's": one(f"{USER}default_domain_name: other\nproject_name: eu-nl"),
    "the id of a default domain beside the user's name": one(f"{USER}default_domain_id: d9\nproject_name: eu-nl"),
    "an unscoped user": one(USER),
    "the whole system": one(f"{USER}system_scope: all"),
    "a trust": one(f"{USER}trust_id: t7"),
    "version 3 by name": one(f"{USER}project_name: eu-nl\nproject_domain_name: OTC-EU-7", "auth_type: v3password"),
    "the old name of the name": one("user-name: kim\npassword: x\nuser_domain_name: OTC-EU-7"),
    # ---- other methods
    "a token and a project's name": one("token: gAAA\nproject_name: eu-nl", "auth_type: token"),
    "a token by its other name": one("auth_token: gAAA\nproject_id: p7", "auth_type: token"),
    "a token of version 3": one("token: gAAA\nproject_id: p7", "auth_type: v3token"),
    "an application": one(
        "application_credential_id: a7\napplication_credential_secret: s7", "auth_type: v3applicationcredential"
    ),
    "an application by its name": one(
        "application_credential_name: cleaner\napplication_credential_secret: s7\nuser_id: u7\n"
        "username: kim\nuser_domain_id: d7",
        "auth_type: v3applicationcredential",
    ),
    "a passcode": one("user_id: u7\npasscode: '012345'\nproject_id: p7", "auth_type: v3totp"),
    "two factors": one(
        "username: kim\nuser_domain_id: d7\npassword: x\npasscode: '012345'\nauth_methods: [v3password, v3totp]",
        "auth_type: v3multifactor",
        "auth_methods: v3password,v3totp",
    ),
    "an agency": one(
        f"{USER}target_agency_name: cleaners\ntarget_domain_name: OTC-EU-9\ntarget_project_name: eu-nl",
        "auth_type: agency",
    ),
    "an agency with roles, and ids": one(
        f"{USER}target_agency_name: cleaners\ntarget_domain_id: d9\ntarget_project_id: p9\nroles: [sdrs_adm]\n"
        "project_id: p7",
        "auth_type: agency",
    ),
    "an agency for a whole domain": one(
        f"{USER}target_agency_name: cleaners\ntarget_domain_id: d9", "auth_type: agency"
    ),
    # ---- how it is written
    "all beside auth": whole(
        "clouds: {site: {auth: {auth_url: IAM/v3}, username: kim, password: 'x{y}', user_domain_id: d7, "
        "project_name: eu-nl}}"
    ),
    "braces in a flat secret": whole(
        "clouds: {site: {auth_type: v3applicationcredential, application_credential_id: a7, auth: {auth_url: IAM/v3}, "
        "application_credential_secret: 's{region_name}', region_name: eu-nl}}"
    ),
    "braces in all that is flat": whole(
        "clouds: {site: {auth: {auth_url: IAM/v3}, username: 'k{i}m', password: '{', user_domain_name: '{0}', "
        "project_name: '{eu}', sdrs_endpoint_override: 'https://sdrs.{region_name}.example', region_name: eu-nl}}"
    ),
    "auth wins over what is beside it, but for the scope": whole(
        "clouds: {site: {auth: {auth_url: IAM/v3, username: kim, password: x, user_domain_id: d7, project_name: in}, "
        "username: tim, password: y, project_name: out}}"
    ),
    "JSON": Case(
        {
            "clouds.json": '{"clouds": {"site": {"auth": {"auth_url": "IAM/v3", "username": "k\\u00efm", '
            '"password": "\\"\\\\/", "user_domain_name": "OTC", "project_name": "eu-nl"}, "verify": null}}}'
        }
    ),
    "an anchor": whole(
        "base: &base {auth_url: IAM/v3, username: kim, password: x, user_domain_id: d7}\n"
        "clouds: {site: {auth: {<<: *base, project_id: p7, username: tim}}}"
    ),
    "letters of the world": one(
        "username: Jürgen Ω\npassword: 'pä\"ß\\ 密碼 🔑'\nuser_domain_name: ÖTC\nproject_id: p7"
    ),
    "words that YAML leaves alone": one("username: 08\npassword: 1e5\nuser_domain_name: 0o17\nproject_name: 0_x"),
    "no version in the address": whole(
        "clouds: {site: {auth: {auth_url: IAM/, username: kim, password: x, user_domain_id: d7, project_id: p7}}}"
    ),
    "numbers and lists that are no words": one(
        f"{USER}project_id: p7",
        "identity_api_version: 3",
        "interface: [internal, public]",
        "api_timeout: 9",
        "verify: true",
        "volume_api_version: 3.5",
    ),
    "empty words": one(f"{USER}project_id: ''\nproject_name: eu-nl\nproject_domain_name: ''\nuser_id: ''"),
    "a byte order mark, and line ends of Windows": whole(
        "\ufeffclouds:\r\n  site:\r\n    auth:\r\n      auth_url: IAM/v3\r\n      user_id: u7\r\n      password: x\r\n"
    ),
    "a setting and a cloud that come twice": whole(
        "clouds:\n  site: {auth: {auth_url: IAM/v3, user_id: u1, password: x}}\n"
        "  site: {auth: {auth_url: IAM/v3, user_id: u7, password: x, password: y}}\n"
    ),
    "a tag that makes a text": one("user_id: u7\npassword: !!str 0123"),
    "what is for other services and tools": one(
        f"{USER}project_name: eu-nl",
        "ak: AK",
        "sk: SK",
        "force_ipv4: true",
        "compute_endpoint_override: 'https://ecs.x/v2/%(project_id)s'",
        "image_format: qcow2",
        "vendor_hook: 'nothing:load'",
        "status: active",
    ),
    # ---- several files, regions, profiles
    "a secure.yaml alone": Case(
        {"secure.yaml": "clouds: {site: {auth: {auth_url: IAM/v3, user_id: u7, password: x}}}"}
    ),
    "a secure.yaml": Case(
        {
            "clouds.yaml": "clouds: {site: {auth: {auth_url: IAM/v3, username: kim, project_name: eu-nl}}}",
            "secure.yaml": "clouds: {site: {auth: {password: 'p#1 ', user_domain_name: OTC}}}",
        }
    ),
    "a region with a project of its own": whole(
        "clouds: {site: {auth: {auth_url: IAM/v3, username: kim, password: x, user_domain_id: d7, project_name: eu}, "
        "regions: [{name: eu-de, values: {auth: {project_name: eu-de}}}, "
        "{name: eu-nl, values: {auth: {project_name: eu-nl}}}]}}",
        region="eu-nl",
    ),
    "the first of its regions": whole(
        "clouds: {site: {auth: {auth_url: 'IAM/v3', username: kim, password: x, user_domain_id: d7}, "
        "regions: [{name: eu-de, values: {username: tim, project_name: eu-de}}, eu-nl]}}"
    ),
    "a vendor's profile of one's own": Case(
        {
            "clouds.yaml": "clouds: {site: {profile: lab, username: kim, auth: {password: x, project_name: '{a}'}}}",
            "clouds-public.yaml": "public-clouds: {lab: {auth: {auth_url: IAM/v3, user_domain_name: OTC}, "
            "regions: [eu-de]}}",
        }
    ),
    "a vendor's profile with another address": one(f"{USER}project_name: eu-nl", "profile: otc"),
    "a vendor's profile whose address has no scheme": one(f"{USER}project_name: eu-ch2", "cloud: otc-swiss"),
    # ---- variables
    "an openrc file": variables(
        **RC,
        PROJECT_NAME="eu-nl",
        PROJECT_DOMAIN_ID="d7",
        IDENTITY_API_VERSION="3",
        INTERFACE="public",
        REGION_NAME="eu-nl",
        ENDPOINT_TYPE="publicURL",
        IMAGE_API_VERSION="2",
    ),
    "an openrc file that empties what it does not use": variables(
        **RC,
        PROJECT_NAME="eu-nl",
        PROJECT_ID="",
        USER_DOMAIN_ID="",
        PROJECT_DOMAIN_NAME="",
        CLOUD="",
        CACERT="",
        TENANT_ID="",
        REGION_NAME="",
        TRUST_ID="",
    ),
    "an openrc file with a tenant": variables(**RC, TENANT_NAME="eu-nl"),
    "ids in variables": variables(AUTH_URL="IAM", USER_ID="u7", PASSWORD="p7", PROJECT_ID="007"),
    "a domain for both in variables": variables(
        AUTH_URL="IAM/v3", USERNAME="kim", PASSWORD="0123", DOMAIN_ID="d7", PROJECT_NAME="eu-nl"
    ),
    "a default domain in variables": variables(
        AUTH_URL="IAM/v3", USERNAME="kim", PASSWORD="x", DEFAULT_DOMAIN_NAME="OTC", PROJECT_NAME="eu-nl"
    ),
    "a token in variables": variables(AUTH_URL="IAM/v3", AUTH_TYPE="token", TOKEN="gAAA", PROJECT_NAME="eu-nl"),
    "an application in variables": variables(
        AUTH_URL="IAM/v3",
        AUTH_TYPE="v3applicationcredential",
        APPLICATION_CREDENTIAL_ID="12",
        APPLICATION_CREDENTIAL_SECRET="{a} b",
    ),
    "a cloud in variables": one(f"{USER}project_name: eu-nl", env={"OS_CLOUD": "site", "OS_PASSWORD": "not-this"}),
    # ---- refused
    "a number as a project": one(
        f"{USER}project_id: 00012345",
        refused=r"clouds\.site\.auth\.project_id in .*/clouds\.yaml, line 8 is read as a n",
    ),
    "a number as a flat user": whole(
        "clouds:\n  site:\n    username: 0x1F\n    password: x\n    auth: {auth_url: IAM/v3, user_domain_id: d7}\n",
        refused=r"clouds\.site\.username in .*/clouds\.yaml, line 3 is read as a number",
    ),
    "a number as a password of a secure.yaml": Case(
        {
            "clouds.yaml": "clouds: {site: {auth: {auth_url: IAM/v3, username: kim, user_domain_id: d7}}}",
            "secure.yaml": "clouds:\n  site:\n    auth:\n      password: 1_000\n",
        },
        refused=r"clouds\.site\.auth\.password in .*/secure\.yaml, line 4 is read as a number.*: put it in quotes$",
    ),
    "a number of a profile": Case(
        {
            "clouds.yaml": "clouds: {site: {profile: lab, auth: {username: kim, password: x}}}",
            "clouds-public.yaml": "public-clouds: {lab: {auth: {auth_url: IAM/v3, user_domain_id: 7}}}",
        },
        refused=r"public-clouds\.lab\.auth\.user_domain_id in .*/clouds-public\.yaml, line 1 is read as a number",
    ),
    "a number of a region": whole(
        "clouds: {site: {auth: {auth_url: IAM/v3, username: kim, password: x, user_domain_id: d7}, "
        "regions: [{name: eu-de, values: {auth: {project_id: 12}}}]}}",
        refused=r"clouds\.site\.regions\[0\]\.values\.auth\.project_id in .*, line 1 is read as a number",
    ),
    "a number of JSON": Case(
        {
            "clouds.json": '{"clouds": {"site": {"auth_type": "v3totp", "auth": {"auth_url": "IAM/v3", '
            '"user_id": "u7", "passcode": 123456}}}}'
        },
        refused=r"clouds\.site\.auth\.passcode in .*/clouds\.json, line 1 is read as a number",
    ),
    "a word that is a truth": one(
        "username: on\npassword: x\nuser_domain_name: OTC",
        refused=r"auth\.username in .* line 5 is read as true or fal",
    ),
    "a date as a secret": one(
        "application_credential_id: a7\napplication_credential_secret: 2024-02-29",
        "auth_type: v3applicationcredential",
        refused=r"application_credential_secret in .*/clouds\.yaml, line 7 is read as a date",
    ),
    "a password that is infinite": one(
        "username: kim\nuser_domain_id: d7\npassword: .inf", refused=r"auth\.password in .*, line 7 is read as a number"
    ),
    "a password of two lines": one(
        'username: kim\nuser_domain_id: d7\npassword: "x\\n"',
        refused=r"auth\.password in .*, line 7 holds a line end",
    ),
    "a password that is nothing": one(
        "username: kim\nuser_domain_id: d7\npassword: ~",
        refused=r"password missing .* OS_PASSWORD is not set \(clouds\.site\.auth\.password in .*, line 7 has no value",
    ),
    "a user without a domain": one(
        "username: kim\npassword: x\nproject_id: p7",
        refused=r"user_domain_name or user_domain_id missing .* clouds\.site of .*/clouds\.yaml$",
    ),
    "a project without a domain, for version 3 by name": one(
        f"{USER}project_name: eu-nl",
        "auth_type: v3password",
        refused=r"project_domain_name\. \(clouds\.site of .*yaml\)$",
    ),
    "a password of a Windows file": variables(
        **RC | {"PASSWORD": "secret\r"}, refused=r"OS_PASSWORD ends in a carriage return: .* Windows line ends$"
    ),
    "a user that is no UTF-8": variables(**RC | {"USERNAME": "J\udcfcrgen"}, refused=r"OS_USERNAME is not UTF-8$"),
}


def prepare(case: Case, iam: Iam, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the files where both look for them, and no others."""
    from openstack.config import loader

    for kind, variable in (("CONFIG", "clouds."), ("SECURE", "secure."), ("VENDOR", "clouds-public.")):
        paths = []
        for name in case.files:
            if name.startswith(variable):
                path = folder / name
                path.write_text(case.files[name].replace("IAM", iam.url), "utf-8")
                paths.append(str(path))
        monkeypatch.setattr(loader, f"{kind}_FILES", paths)
    for name, value in case.env.items():
        monkeypatch.setenv(name, value.replace("IAM", iam.url))


def ask_openstacksdk(case: Case) -> str | None:
    """Sign in as it does, with what it finds."""
    from openstack.config import OpenStackConfig

    name = "site" if case.files else None
    with warnings.catch_warnings(action="ignore"):
        config = OpenStackConfig()
        return config.get_one(name, region_name=case.region or "").get_session().get_token()


@pytest.mark.parametrize("name", CASES)
async def test_the_same_files_are_the_same_sign_in(
    name: str, iam: Iam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Path, body and token of what arrives are equal; or file and place are named, and nothing is sent."""
    case = CASES[name]
    if name.startswith("an agency"):
        pytest.importorskip("otcextensions")
    prepare(case, iam, tmp_path, monkeypatch)
    in_files = case.files and "OS_CLOUD" not in case.env
    if case.refused is not None:
        with pytest.raises(ConfigError) as caught:
            KeystoneAuth.from_cloud("site") if in_files else KeystoneAuth.from_env()
        assert re.search(case.refused, str(caught.value))
        assert iam.sent == []
        return
    assert ask_openstacksdk(case) == "given"
    if "'None'" in str(iam.sent):
        pytest.skip("an openstacksdk as old as 4.4 sends the word None for a token")
    theirs = list(iam.sent)
    iam.sent.clear()
    auth = KeystoneAuth.from_cloud("site", region=case.region) if in_files else KeystoneAuth.from_env()
    await auth.prepare("")
    assert iam.sent == theirs != []


def test_there_are_enough_cases() -> None:
    """Thirty that sign in, and their siblings that do not."""
    assert sum(case.refused is None for case in CASES.values()) >= 30
