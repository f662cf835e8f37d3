"""Ids of a list that are not of the service's form: refused with their place and what they look like, never mended."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from sdrs_async import StaticToken, clean
from sdrs_async.cleanup.target_files import Owners, spool
from sdrs_async.errors import ConfigError
from sdrs_async.simulator import Simulator
from tests.support.command import run

P = "3f518ae3b61867b1a493b83eb15572eb"
G = "decf224d-87fe-403a-8721-037a1a45c287"
ONE = Owners(("OS_TOKEN",))

GROUPS = [
    (f"'{G}'", "there are quotes in it"),
    (f'"{G}"', "there are quotes in it"),
    (f"\u201c{G}\u201d", "there are quotes in it"),
    (f"\u00ab{G}\u00bb", "there are quotes in it"),
    (f"`{G}`", "there are quotes in it"),
    (f"'{G}", "there are quotes in it"),
    (f"{{{G}}}", "there are brackets or braces in it"),
    (f"({G})", "there are brackets or braces in it"),
    (f'=""{G}""', "it looks like a formula of a spreadsheet"),
    (f'="{G}"', "it looks like a formula of a spreadsheet"),
    (G.upper(), "it has upper-case letters, and ids of protection groups have none"),
    (G.replace("d", "D", 1), "it has upper-case letters"),
    (G.replace("-", ""), "it has no dashes"),
    (G.replace("-", "").upper(), "it has no dashes"),
    (P, "it has no dashes"),
    (G[:-1], "it has 35 characters, and ids of protection groups have 36: it seems to be cut off"),
    (G[:13], "it has 13 characters, and ids of protection groups have 36: it seems to be cut off"),
    (f"{G}0", "it has 37 characters, and ids of protection groups have 36: there is too much of it"),
    (f"{G[1:]}-", "its dashes are elsewhere"),
    (G.replace("-", "\u2010"), "its dashes are typographic ones"),
    (G.replace("4", "o", 1), "it has 'o' where ids of protection groups have digits and letters from a to f"),
    (G.replace("e", "\u0435", 1), r"it has '\u0435' where"),
    (G.replace("2", "\u0662", 1), r"it has '\u0662' where"),
    ("my-protection-group", "it looks like a name: give the id of the protection group"),
    ("\u4fdd\u62a4\u7ec4", "it looks like a name"),
    ("web01", "it looks like a name"),
    ("1.23E+31", "it looks like a number that a spreadsheet has rounded"),
    ("1,23457E+31", "it looks like a number that a spreadsheet has rounded"),
    (f"urn:uuid:{G}", "it looks like a URL, URN or path"),
    (f"https://sdrs.eu-de.example.com/v1/{P}/server-groups/{G}", "it looks like a URL, URN or path"),
    (f"server-groups/{G}", "it looks like a URL, URN or path"),
    (f"%7B{G}%7D", "it looks like a URL, URN or path"),
    (f"{G} {G}", "there are blanks in it"),
    (G.replace("-", " "), "there are blanks in it"),
    (f"{G} # web", "there are blanks in it"),
    (f"{G},{G}", "there is a separator in it"),
    ("None", "it says that there is no id"),
    ("#N/A", "it says that there is no id"),
    ("-", "it says that there is no id"),
    (f"{G[:9]}\u200b{G[9:]}", "it holds a control or other invisible character"),
    (f"\ufeff{G}", "it holds a control or other invisible character"),
    (f"{G}\u00a0", "it holds a control or other invisible character"),
    ("", "it is empty"),
    ("_", "it has not the form of such ids, like decf224d-"),
    ("batch", "this is a reserved word"),
]
PROJECTS = [
    (f"'{P}'", "there are quotes in it"),
    (f"{{{P}}}", "there are brackets or braces in it"),
    (f'="{P}"', "it looks like a formula of a spreadsheet"),
    (P.upper(), "it has upper-case letters, and ids of projects have none"),
    (f"{P}0", "it has 33 characters, and ids of projects have 32 at most"),
    (G, "it looks like the id of a protection group"),
    ("eu-de_prod", "it looks like a name: give the id of the project"),
    ("Production", "it has upper-case letters"),
    ("1.23E+31", "it looks like a number that a spreadsheet has rounded"),
    (f"https://sdrs.eu-de.example.com/v1/{P}", "it looks like a URL, URN or path"),
    ("null", "it says that there is no id"),
    ("nan", "it says that there is no id"),
    (f"{P[:8]} {P[8:]}", "there are blanks in it"),
    (f"{P}\u200b", "it holds a control or other invisible character"),
    (P.replace("a", "\u0430"), "it looks like a name"),
    ("", "it is empty"),
    ("batch", "this is a reserved word"),
]


def _csv(project_id: str, group_id: str) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([["project_id", "server_group_id"], [P, G], [project_id, group_id]])
    return file.getvalue()


def _object(project_id: str, group_id: str) -> dict[str, object]:
    return {"account": "OS_TOKEN", "level": "group", "project_id": project_id, "server_group_id": group_id}


FORMS = {
    "csv": (_csv, "line 3"),
    "results": (lambda *ids: f"{json.dumps(_object(P, G))}\n{json.dumps(_object(*ids))}", "line 2"),
    "array": (lambda *ids: json.dumps([_object(P, G), _object(*ids)]), "line 1, item 2"),
    "pairs": (lambda *ids: json.dumps([[P, G], ids], indent=0), "line 6, item 2"),
}


ALL = [("server_group_id", *one) for one in GROUPS] + [("project_id", *one) for one in PROJECTS]


@pytest.mark.parametrize(
    ("form", "name", "value", "hint"),
    [(form, *one) for form in FORMS for one in (ALL if form in ("csv", "results") else ALL[::9])],
    ids=ascii,
)
def test_an_id_of_another_form_is_refused(tmp_path: Path, form: str, name: str, value: str, hint: str) -> None:
    """In every form of a list, with the line, which id it is and what it looks like."""
    write, place = FORMS[form]
    path = tmp_path / "list"
    path.write_text(write(value, G) if name == "project_id" else write(P, value), "utf-8")
    with pytest.raises(ConfigError) as caught:
        spool(str(path), ONE)
    text = str(caught.value)
    assert text.startswith(f"{path}, {place}: {name} ")
    assert hint in text
    assert " is refused: " in text
    assert text.isprintable()
    assert len(text) < len(str(path)) + 400


PLAIN = [(P, one) for one, _ in GROUPS if one and "\u00a0" not in one] + [
    (one, G) for one, _ in PROJECTS if "{" not in one
]


@pytest.mark.parametrize(("project_id", "group_id"), PLAIN, ids=ascii)
def test_plain_lines_are_held_to_it_too(tmp_path: Path, project_id: str, group_id: str) -> None:
    """Whatever a line is cut into, one of its halves is no id."""
    path = tmp_path / "list"
    path.write_text(f"{P}/{G}\n{project_id}/{group_id}\n", "utf-8")
    with pytest.raises(ConfigError, match=r"line 2: (project|server_group)_id .* is refused: "):
        spool(str(path), ONE)


def test_columns_that_are_swapped_are_told_so(tmp_path: Path) -> None:
    """Both ids are shown, and neither is put in the other's place."""
    path = tmp_path / "list"
    path.write_text(_csv(G, P), "utf-8")
    with pytest.raises(ConfigError, match=f"line 3: project_id '{G}' is refused: .*'{P}' .*: the two are swapped"):
        spool(str(path), ONE)


@pytest.mark.parametrize("project_id", ["0", "z" * 32, "07xvoijer4", P])
def test_ids_of_the_form_are_taken(tmp_path: Path, project_id: str) -> None:
    """A project's may be shorter than usual, and have other letters: the vendor's manual says no more of it."""
    path = tmp_path / "list"
    level = json.dumps({"level": "project", "project_id": project_id, "server_group_id": None})
    path.write_text(f"{json.dumps(_object(project_id, G))}\n{level}", "utf-8")
    with spool(str(path), ONE) as spooled:
        assert [tuple(one) for one in spooled.extents()] == [("OS_TOKEN", project_id, 1, True)]


def test_the_project_of_a_project_level_is_held_to_it(tmp_path: Path) -> None:
    """A call for the whole project goes to nothing that only looks like one."""
    path = tmp_path / "list"
    path.write_text(json.dumps({"level": "project", "project_id": P.upper(), "server_group_id": None}), "utf-8")
    with pytest.raises(ConfigError, match=r"line 1: project_id .* upper-case"):
        spool(str(path), ONE)


@pytest.mark.parametrize("form", FORMS)
def test_any_ids_lifts_the_form_and_nothing_else(tmp_path: Path, form: str) -> None:
    """What may be sent is taken as it is, two spellings as two; what would lead to another call is refused as ever."""
    write, place = FORMS[form]
    path = tmp_path / "list"
    path.write_text(write("Web", "{G1}"), "utf-8")
    with spool(str(path), ONE, any_ids=True) as spooled:
        assert list(spooled.per_project("OS_TOKEN")["Web"]) == ["{G1}"]
        assert spooled.groups == 2
    for bad in ("batch", "a/b", "..", "", "a b", f"{G}\u200b"):
        path.write_text(write("Web", bad), "utf-8")
        with pytest.raises(ConfigError, match=f"{place}: server_group_id .* is refused: "):
            spool(str(path), ONE, any_ids=True)


# ---- in the command

LISTED = [f"'{G}'", f"{{{G}}}", G.upper(), G.replace("-", ""), G[:-1], f'=""{G}""', "my-protection-group"]


@pytest.mark.parametrize("fleet", [False, True])
async def test_the_command_sends_nothing_for_ids_that_nobody_has(tmp_path: Path, fleet: bool) -> None:
    """Each would be answered with 404 and count as already gone: it is refused with its line, also with a fleet."""
    async with Simulator(projects=1, groups=1) as cloud:
        place = ["--endpoint", cloud.url]
        if fleet:
            (tmp_path / "fleet").write_text(
                f'[accounts.a]\nendpoint = "{cloud.url}"\nprojects = "all"\niam_endpoint = "{cloud.url}"\n'
                'credential = { token_env = "OS_TOKEN" }\n'
            )
            place = ["--fleet", str(tmp_path / "fleet")]
        path = tmp_path / "list"
        for command in (["clean", "--yes"], ["clean", "--dry-run"], ["plan"])[: 1 if fleet else 3]:
            path.write_text("\n".join(["project_id,server_group_id", *(f"{P},{one}" for one in LISTED)]), "utf-8")
            done = await run(*command, *place, "--targets", str(path), token=cloud.token)
            assert (done.code, done.stdout) == (2, "")
            assert done.stderr.startswith(f"error: {path}, line 2: server_group_id ")
            assert done.stderr.count("\n") == 1
        done = await run(
            "clean", "--yes", *place, "--targets", "-", "--any-ids", token=cloud.token,
            stdin=f"{cloud.targets[0][0]}/my-group\n".encode(),
        )  # fmt: skip
        assert "1 already gone" in done.stdout, done.stderr
        assert [entry.server_group_id for entry in cloud.log] == ["my-group"]


async def test_any_ids_without_a_list_is_an_error() -> None:
    """It is about nothing else."""
    done = await run("clean", "--yes", "--all-projects", "--any-ids", "--endpoint", "http://127.0.0.1:9", token="t")
    assert (done.code, done.stderr) == (2, "error: --any-ids is about the ids of a list: use it with --targets\n")


async def test_a_project_id_that_is_not_as_usual_is_a_warning(tmp_path: Path) -> None:
    """Its form is not against the manual, and still it may be a name, or half an id; with --any-ids it is meant."""
    path = tmp_path / "list"
    path.write_text(f"{P}/{G}\nproduction/{G}\n{P[:-1]}/{G}\n", "utf-8")
    args = ["clean", "--dry-run", "--targets", str(path), "--endpoint", "http://127.0.0.1:9"]
    done = await run(*args, token="t")
    assert done.code == 0
    assert done.stderr == (
        f"warning: {path}: project_id '{P[:-1]}' (and 1 more project) is not of 32 digits and letters from a to f, as "
        "the service's are: is it a name, or cut off?\n"
    )
    assert (await run(*args, "--any-ids", token="t")).stderr == ""


async def test_a_dry_run_names_project_levels(tmp_path: Path) -> None:
    """A project of which only its own level is in the list has no number of groups."""
    level = json.dumps({"level": "project", "project_id": P, "server_group_id": None})
    other = "0" * 32
    content = f"{level}\n{json.dumps(_object(other, G))}\n"
    args = ["clean", "--dry-run", "--targets", "-", "--endpoint", "http://127.0.0.1:9"]
    done = await run(*args, token="t", stdin=content.encode())
    assert f"\n       1  {other}\n          {P}  project level\n" in done.stdout, done.stderr


# ---- the library


async def test_the_library_takes_any_id() -> None:
    """Who calls it has ids from a program, and no file to look at."""
    async with Simulator(projects=1, groups=1) as cloud:
        project = cloud.targets[0][0]
        report = await clean([(project, G.upper()), (project, "g1")], endpoint=cloud.url, auth=StaticToken(cloud.token))
        assert report.targets["gone"] == 2
