"""A command writes over nothing that it reads: whatever names the file, and however the output's path is spelled."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from typer.testing import CliRunner

from sdrs_async.accounts.connecting import Connection
from sdrs_async.command.app import app
from sdrs_async.command.inputs import inputs
from sdrs_async.command.options import Selecting
from sdrs_async.limits import RetryPolicy
from sdrs_async.report import Ledger
from tests.support.command import Done

P = "0123456789abcdef0123456789abcdef"
G = "decf224d-87fe-403a-8721-037a1a45c287"
ROOT = Path(__file__).resolve().parents[2]
WHERE = ["--endpoint", "http://127.0.0.1:9", "--iam-endpoint", "http://127.0.0.1:9"]
SEARCHED = ["--all-projects", *WHERE]

CLOUDS = """
clouds:
  prod:
    auth: {auth_url: "http://127.0.0.1:9/v3", username: u, user_domain_name: d, password: p, project_id: p}
"""
KEYED = """
clouds:
  prod:
    auth: {auth_url: "http://127.0.0.1:9/v3"}
    ak: AK0123456789ABCDEFGH
    sk: secret
"""
FLEET = """
[accounts.one]
credential = {{ {credential} }}
endpoint = "http://127.0.0.1:9"
iam_endpoint = "http://127.0.0.1:9"
projects = "all"
{more}
"""
KEYS = "[basic]\nak = AK0123456789ABCDEFGH\nsk = secret\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, which the command is started in, and a token; openstacksdk, once imported, stays with another."""
    from openstack.config import loader

    monkeypatch.setattr(loader, "CONFIG_FILES", [str(tmp_path / "clouds.yaml")])
    monkeypatch.setattr(loader, "SECURE_FILES", [str(tmp_path / ".config" / "openstack" / "secure.yaml")])
    for name in [name for name in os.environ if name.startswith(("OS_", "HUAWEICLOUD_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OS_TOKEN", "token")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def targets(home: Path) -> tuple[Path, list[str]]:
    """A list of targets."""
    (home / "in").write_text(f"{P}/{G}\n", "utf-8")
    return home / "in", ["--targets", "in", *WHERE]


def fleet(home: Path) -> tuple[Path, list[str]]:
    """The fleet file itself."""
    (home / "in").write_text(FLEET.format(credential='token_env = "OS_TOKEN"', more=""), "utf-8")
    return home / "in", ["--fleet", str(home / "in")]


def fleet_ca(home: Path) -> tuple[Path, list[str]]:
    """Certificates that a fleet file names."""
    trustme.CA().cert_pem.write_to_path(str(home / "in"))
    text = FLEET.format(credential='token_env = "OS_TOKEN"', more='ca_file = "in"')
    (home / "fleet").write_text(text, "utf-8")
    return home / "in", ["--fleet", "fleet"]


def fleet_profile(home: Path) -> tuple[Path, list[str]]:
    """A credentials file that a fleet file names."""
    (home / "in").write_text(KEYS, "utf-8")
    (home / "fleet").write_text(FLEET.format(credential='huawei_profile = "in"', more=""), "utf-8")
    return home / "in", ["--fleet", "fleet"]


def ca_file(home: Path) -> tuple[Path, list[str]]:
    """Certificates that a flag names."""
    trustme.CA().cert_pem.write_to_path(str(home / "in"))
    return home / "in", [*SEARCHED, "--ca-file", "in"]


def credentials(home: Path) -> tuple[Path, list[str]]:
    """The credentials file of the vendor, where it is looked for."""
    path = home / ".huaweicloud" / "credentials"
    path.parent.mkdir()
    path.write_text(KEYS, "utf-8")
    return path, SEARCHED


def clouds(home: Path) -> tuple[Path, list[str]]:
    """The file of clouds in the working directory."""
    (home / "clouds.yaml").write_text(CLOUDS, "utf-8")
    return home / "clouds.yaml", ["--os-cloud", "prod", *SEARCHED]


def authorities_of_a_cloud(home: Path) -> tuple[Path, list[str]]:
    """Certificates that a cloud names."""
    trustme.CA().cert_pem.write_to_path(str(home / "in"))
    (home / "clouds.yaml").write_text(f"{CLOUDS}    cacert: in\n", "utf-8")
    return home / "in", ["--os-cloud", "prod", *SEARCHED]


def certificate_of_a_cloud(home: Path) -> tuple[Path, list[str]]:
    """A certificate of one's own, and its key, in one file, that a cloud names."""
    trustme.CA().issue_cert("client.test").private_key_and_cert_chain_pem.write_to_path(str(home / "in"))
    (home / "clouds.yaml").write_text(f"{CLOUDS}    cert: in\n", "utf-8")
    return home / "in", ["--os-cloud", "prod", *SEARCHED]


def key_of_a_cloud(home: Path) -> tuple[Path, list[str]]:
    """The key of such a certificate."""
    made = trustme.CA().issue_cert("client.test")
    made.cert_chain_pems[0].write_to_path(str(home / "cert"))
    made.private_key_pem.write_to_path(str(home / "in"))
    (home / "clouds.yaml").write_text(f"{CLOUDS}    cert: cert\n    key: in\n", "utf-8")
    return home / "in", ["--os-cloud", "prod", *SEARCHED]


def clouds_with_a_key(home: Path) -> tuple[Path, list[str]]:
    """The file of clouds, of which one has an access key alone."""
    path, flags = clouds(home)
    path.write_text(KEYED, "utf-8")
    return path, flags


def authorities_of_a_cloud_with_a_key(home: Path) -> tuple[Path, list[str]]:
    """Certificates that such a cloud names."""
    path, flags = authorities_of_a_cloud(home)
    (home / "clouds.yaml").write_text(f"{KEYED}    cacert: in\n", "utf-8")
    return path, flags


def files_of_a_fleets_cloud(home: Path) -> tuple[Path, list[str]]:
    """The same where a fleet file names the cloud."""
    path, _ = authorities_of_a_cloud(home)
    (home / "fleet").write_text(FLEET.format(credential='os_cloud = "prod"', more=""), "utf-8")
    return path, ["--fleet", "fleet"]


def secrets(home: Path) -> tuple[Path, list[str]]:
    """Its companion in the user's folder."""
    path = home / ".config" / "openstack" / "secure.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("{}", "utf-8")
    return path, clouds(home)[1]


KINDS = [targets, fleet, fleet_ca, fleet_profile, ca_file, credentials, clouds, secrets]
KINDS += [clouds_with_a_key, authorities_of_a_cloud_with_a_key]
KINDS += [authorities_of_a_cloud, certificate_of_a_cloud, key_of_a_cloud, files_of_a_fleets_cloud]


@pytest.mark.parametrize("made", KINDS, ids=lambda made: made.__name__)
def test_no_input_is_written_over(home: Path, made: Callable[[Path], tuple[Path, list[str]]]) -> None:
    """Exit code 2, one line with the flag, and the file is as it was; `clean` and `plan` alike."""
    path, args = made(home)
    text = path.read_text("utf-8")
    (home / "link").symlink_to(path)
    os.link(path, home / "hard")
    for command, flag, output in (
        ("clean", "--json", str(path)),
        ("clean", "--results", "hard"),
        ("clean", "--html", "./link"),
        ("plan", "--json", "hard"),
    ):
        more = ["--yes"] if command == "clean" else []
        done = CliRunner().invoke(app, [command, *args, *more, flag, output], catch_exceptions=False)
        assert done.exit_code == 2
        assert f" and {flag} cannot both be {output!r}" in done.stderr
        assert path.read_text("utf-8") == text


VARIABLES = ["OS_CACERT", "SSL_CERT_FILE", "OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE"]
VARIABLES += ["HUAWEICLOUD_SDK_CREDENTIALS_FILE"]


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_file_that_a_variable_names_is_an_input(variable: str) -> None:
    """What libraries read because the environment says so is read by the command too."""
    found = dict(inputs(Selecting(), Connection([], RetryPolicy()), {variable: "path"}))
    assert found == {variable: "path"}


async def test_what_the_shell_hands_over_is_an_input_or_output_too(home: Path) -> None:
    """`< list --json list`, and `--json out > out`, which would lose one of the two."""
    path, _ = targets(home)
    clean = [sys.executable, "-m", "sdrs_async", "clean", "--yes", *WHERE]

    async def ended(line: str) -> Done:
        shell = await asyncio.create_subprocess_exec(
            *("bash", "-c", line, "bash", *clean),
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        _, stderr = await shell.communicate()
        return Done(shell.returncode or 0, "", stderr.decode())

    lines = [
        '"$@" --targets - --json in < in',
        '"$@" --targets in --json out > out',
        '"$@" --targets in --html log 2> log',
    ]
    words = ["--targets and --json cannot both be 'in'", "stdout and --json cannot both be 'out'", ""]
    for line, expected in zip(lines, words, strict=True):
        done = await ended(line)
        assert done.code == 2
        assert expected in done.stderr
    assert "stderr and --html cannot both be 'log'" in await asyncio.to_thread((home / "log").read_text, "utf-8")
    assert await asyncio.to_thread(path.read_text, "utf-8") == f"{P}/{G}\n"


def test_a_report_may_take_the_place_of_one_that_went_into_it(home: Path) -> None:
    """`report all.json new.json --format json -o all.json` adds to a report; a page in its place would end it."""
    for name in ("all", "new"):
        (home / f"{name}.json").write_text(json.dumps(document(name)), "utf-8")
    base = ["report", "all.json", "new.json"]
    refused = CliRunner().invoke(app, [*base, "--format", "html", "-o", "./all.json"], catch_exceptions=False)
    assert refused.exit_code == 2
    assert "a report that is read and --output cannot both be './all.json'" in refused.stderr
    done = CliRunner().invoke(app, [*base, "--format", "json", "-o", "all.json"], catch_exceptions=False)
    assert done.exit_code == 0
    assert sorted(json.loads((home / "all.json").read_text("utf-8"))["runs"]) == ["all", "new"]


def document(run_id: str) -> dict[str, object]:
    """The report of a run that did nothing."""
    report = Ledger(run_id=run_id)
    report.finish()
    return report.to_dict()
