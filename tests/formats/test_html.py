"""The HTML page."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest

from sdrs_async.formats import html
from sdrs_async.limits import Limits
from sdrs_async.models import Outcome, ProjectLevel, Target, Verdict
from sdrs_async.report import Ledger, Report, Unlisted

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}\x1b\u202e\ud800"
VOID = {"meta", "br"}


class Page(HTMLParser):
    """A page taken apart: its tags with their attributes, and its text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag, and that it is open."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the tag, which must be the last one opened."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note the text, except the style sheet."""
        if "style" not in self.open:
            self.words.extend(data.split())

    def __contains__(self, text: str) -> bool:
        return " ".join(text.split()) in " ".join(self.words)

    def count(self, tag: str, **attributes: str) -> int:
        """Count the tags that have these attributes."""
        return sum(name == tag and attributes.items() <= found.items() for name, found in self.tags)


def _page(report: Report) -> Page:
    page = Page(html.render(report))
    assert page.open == []
    return page


def _outcome(verdict: Verdict, project: str, group: str, **fields: Any) -> Outcome:
    return Outcome(Target(project, group), verdict, attempts=1, elapsed=0.5, latency=0.02, **fields)


def _mixed(max_failures: int = 1000) -> Ledger:
    report = Ledger(Limits(), run_id="run-1", clock=lambda: 0.0, max_failures=max_failures)
    for number in range(1200):
        report.add(_outcome(Verdict.DELETED, "p1", f"g{number}", status_code=204))
    for number in range(3):
        failure: dict[str, Any] = {"error_code": "SDRS.0013", "message": "busy", "request_id": f"req-{number}"}
        report.add(_outcome(Verdict.TRANSIENT, "p2", f"g{number}", status_code=503, **failure))
    report.add(_outcome(Verdict.UNREACHABLE, "p2", "g9", message="reset"))
    report.add_unsettled("", "p3", 2)
    return report


def test_the_page_shows_what_the_summary_shows() -> None:
    """Totals, causes with what to do, status codes, projects, every failure, and the facts of the run."""
    page = _page(_mixed())
    for expected in (
        "1,206 groups in 3 projects: 1,200 deleted, 4 failed, 2 unsettled",
        "3 \u00d7 transient SDRS.0013 The service had a fault that usually passes",
        "503 3 the service is not available",
        "none 1 no answer",
        "p2 g2 transient 503 1 SDRS.0013 busy request req-2",
        "p2 g9 unreachable none 1 reset",
        "the rate per project (--project-rate) sets the pace",
        "half within 20.0 ms",
        "not every group is clean (exit code 1)",
        "run-1",
    ):
        assert expected in page


def test_a_suspected_endpoint_is_on_the_page() -> None:
    """Nothing but 404s without an error code: the cause what to check, no clean page, and nothing is obeyed."""
    report = Ledger(clock=lambda: 0.0)
    report.add_access(True, False, {})
    report.add(_outcome(Verdict.GONE, "p1", "g1", status_code=404, account=HOSTILE))
    page = _page(report)
    for expected in (
        "SDRS cleanup: nothing was cleaned: 1 account got nothing but 404s: is this the endpoint?",
        "1 \u00d7 gone Check that the endpoint is the SDRS host of these projects' region",
        "404 1 not found: nothing was left to delete, or the wrong endpoint",
    ):
        assert expected in page
    assert page.count("header", **{"class": "clean"}) == page.count("script") == page.count("img") == 0


def test_projects_are_in_order_of_need() -> None:
    """The worst project is the first row."""
    words = " ".join(_page(_mixed()).words)
    assert words.index("p2 4 0 0 4 0 0") < words.index("p3 2 0 0 0 0 2") < words.index("p1 1,200 1,200 0 0 0 0")


def test_of_several_accounts_projects_and_failures_name_their_own() -> None:
    """The same project with two accounts is two rows; with one account alone there is no word of it."""
    report = Ledger(Limits(), run_id="run-1", clock=lambda: 0.0)
    report.add(_outcome(Verdict.DELETED, "p1", "g1", status_code=204, account="prod"))
    report.add(_outcome(Verdict.REJECTED, "p1", "g2", status_code=400, message="no", account="prod"))
    assert _page(report).count("span", **{"class": "owner"}) == 0
    report.add(_outcome(Verdict.DELETED, "p1", "g1", status_code=204, account="clone"))
    report.add(_outcome(Verdict.REJECTED, "p1", "g2", status_code=400, message="no", account="clone"))
    page = _page(report)
    for row in ("clone p1 2 1 0 1 0 0", "prod p1 2 1 0 1 0 0", "clone p1 g2 rejected 400 1 no", "prod p1 g2 rejected"):
        assert row in page


def test_bars_show_the_share_of_each_group() -> None:
    """One bar in all and one per project, with a part for each group that is not empty; not read aloud."""
    page = _page(_mixed())
    parts = Counter(found["class"] for tag, found in page.tags if tag == "span" and "style" in found)
    assert parts == {"done": 2, "failed": 2, "unsettled": 2}
    assert page.count("span", style="width:100.000%") == 3
    assert page.count("div", **{"class": "bar", "aria-hidden": "true"}) == 4


@pytest.mark.parametrize("field", ["project", "group", "error_code", "message", "request_id", "run_id", "account"])
def test_hostile_text_stays_text(field: str) -> None:
    """Whatever a server or a file put into a field: no tag, no attribute and no template code comes of it."""
    values = dict.fromkeys(("project", "group", "error_code", "message", "request_id", "run_id"), "x") | {
        field: HOSTILE
    }
    report = Ledger(run_id=values.pop("run_id"))
    report.add(_outcome(Verdict.REJECTED, status_code=400, **values))
    report.add(_outcome(Verdict.DELETED, "p", "g", status_code=204, account="another"))
    source = html.render(report)
    page = Page(source)
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert not [name for _, found in page.tags for name in found if name.startswith("on")]
    assert "<script>alert(1)</script>" in page
    assert "{{ 7 * 7 }}???" in page
    assert source.encode()


def test_the_page_needs_nothing_else() -> None:
    """No script, and nothing that a browser would fetch."""
    source = html.render(_mixed())
    page = Page(source)
    assert not {"script", "link", "img", "iframe", "object", "form"} & {tag for tag, _ in page.tags}
    assert not [found for _, found in page.tags if {"src", "href", "srcset", "action"} & set(found)]
    assert "url(" not in source
    assert "@import" not in source
    assert "//" not in source.replace("<!doctype html>", "")


def test_the_page_is_accessible() -> None:
    """It has a language, one main heading, a heading per section, and scopes in its tables; dark and print styles."""
    source = html.render(_mixed())
    page = Page(source)
    assert source.startswith("<!doctype html>\n")
    assert page.count("html", lang="en") == page.count("h1") == page.count("main") == page.count("title") == 1
    assert page.count("h2") == page.count("section") == 5
    assert all(found.get("scope") in {"col", "row"} for tag, found in page.tags if tag == "th")
    assert "@media (prefers-color-scheme: dark)" in source
    assert "@media print" in source


def _luminance(color: str) -> float:
    digits = color * 2 if len(color) == 3 else color
    parts = [int(digits[start : start + 2], 16) / 255 for start in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_every_color_can_be_read(scheme: int) -> None:
    """Text on its card has a contrast of at least 4.5 to 1 (WCAG AA), in each of the three sets of colours."""
    block = html.render(Ledger()).split(":root {")[scheme + 1].split("}")[0]
    colors = dict(part.strip().removeprefix("--").split(": #") for part in block.split(";") if part.strip())
    card = _luminance(colors["card"])
    for name in ("text", "soft", "done", "gone", "failed", "skipped", "unsettled"):
        low, high = sorted((card, _luminance(colors[name])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, name


def test_failures_left_out_are_counted() -> None:
    """The page never passes a part for the whole."""
    page = _page(_mixed(max_failures=1))
    assert "The first 1 by project and group; 3 more are left out here; a JSON report (--json) lists every one" in page
    assert "g2" not in page


def test_an_error_is_on_the_page() -> None:
    """What stopped a run is on its page, with the exit code of the command."""
    report = Ledger()
    report.fail("disk full")
    assert "Error disk full Result stopped by an error (exit code 2)" in _page(report)


def test_a_clean_run_looks_clean() -> None:
    """Without failures there are no tables of them, and the head is of the other colour."""
    report = Ledger()
    report.add(_outcome(Verdict.DELETED, "p1", "g1", status_code=204))
    page = _page(report)
    assert page.count("header", **{"class": "clean"}) == 1
    assert "What is not clean" not in page
    assert "Failed groups" not in page


def test_an_empty_run_is_a_page_too() -> None:
    """Nothing selected, nothing divided by zero."""
    page = _page(Ledger())
    assert "nothing was selected" in page
    assert page.count("div", **{"class": "bar"}) == 0


def test_a_merged_report_says_of_how_many_runs() -> None:
    """The page of several runs names their number."""
    assert "(2 runs merged)" in _page(Ledger(run_id="a").merge(Ledger(run_id="b")))


def test_the_project_level_is_a_row_of_its_own() -> None:
    """The table of projects counts groups alone, with one row and bar for the project level; failures name it."""
    report = Ledger()
    report.add(_outcome(Verdict.DELETED, "p1", "g1", status_code=204))
    for project, verdict in (("p1", Verdict.DELETED), ("p2", Verdict.REJECTED)):
        report.add(Outcome(ProjectLevel(project), verdict, 204, attempts=1))
    page = _page(report)
    for expected in (
        "1 group in 2 projects: 1 deleted; project level of 2 projects: 1 deleted, 1 failed",
        "Code Targets Meaning 204 3 deleted",
        "p1 1 1 0 0 0 0",
        "Project level: failed creations and deletions of groups themselves 2 1 0 1 0 0",
        "Failed groups and project levels",
        "p2 project level rejected 204 1",
    ):
        assert expected in page
    assert "p2 0" not in page
    assert page.count("div", **{"class": "bar"}) == 3


def test_a_project_level_alone_is_a_page_too() -> None:
    """Without any group, the table has the row of the project level alone."""
    report = Ledger()
    report.add(Outcome(ProjectLevel("p1"), Verdict.DELETED, 204, attempts=1))
    assert "Project level: failed creations and deletions of groups themselves 1 1 0 0 0 0" in _page(report)


def test_what_could_not_be_used_or_listed_is_on_the_page() -> None:
    """Refused accounts and unlisted projects: what happened, what to do, and a bounded number of names."""
    report = _mixed()
    report.add_access(False, False, {"prod": "wrong key"})
    for number in range(17):
        report.discovery.add(Unlisted(f"p{number:02}", "prod", Verdict.FORBIDDEN, 403, message="no"))
    page = _page(report)
    for expected in (
        "Refused accounts account prod: the credential was refused (wrong key) Check access key",
        "Not (wholly) listed forbidden 403: no Give the account the role SDRS Administrator",
        "project p14 of account prod and 2 more: 2 forbidden; a JSON report (--json) lists every one.",
    ):
        assert expected in page
    assert "project p15" not in page
    assert page.count("h2") == page.count("section") == 7


@pytest.mark.parametrize("field", ["project", "account", "code", "message", "refused"])
def test_hostile_text_of_lists_stays_text(field: str) -> None:
    """Whatever a server or a file put into a name or message: no tag and no template code comes of it."""
    fields = dict.fromkeys(("project", "account", "code", "message", "refused"), "x") | {field: HOSTILE}
    report = Ledger()
    unlisted = fields["project"], fields["account"], Verdict.FORBIDDEN, 403, fields["code"], fields["message"]
    report.discovery.add(Unlisted(*unlisted))
    report.add_access(False, False, {fields["refused"]: fields["refused"]})
    source = html.render(report)
    page = Page(source)
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert "{{ 7 * 7 }}???" in page
    assert source.encode()
