"""A report as one self-contained HTML page: no script, nothing loaded from elsewhere, all text escaped."""

from __future__ import annotations

from typing import Any, TextIO

from sdrs_async.formats import limits, wording
from sdrs_async.report import Report
from sdrs_async.report.projects import GROUPS


def write(report: Report, file: TextIO, *, failures: object = None, fleet_file: bool = False) -> None:
    """Write the page. Arguments as of `Format.write`; the failures are those that the report holds."""
    file.write(render(report, fleet_file=fleet_file))


def render(report: Report, *, fleet_file: bool = False) -> str:
    """The page, to be written as UTF-8; with every failure that the report holds. Needs jinja2 (extra `html`).

    `fleet_file`: the accounts came from one.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("sdrs_async.formats"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": "{:,}".format,
        "duration": wording.duration,
        "moment": wording.moment,
        "printable": wording.printable,
    }
    return environment.get_template("report.html").render(_view(report, fleet_file))


def _view(report: Report, fleet_file: bool) -> dict[str, Any]:
    document, exit_code = report.to_dict(), report.exit_code
    return {
        **document,
        "groups": GROUPS,
        "projects": wording.worst_first(document),
        "several_accounts": wording.has_several_accounts(document),
        "project_level_name": wording.PROJECT_LEVEL,
        "gaps": wording.gaps(document),
        "limits_heading": limits.HEADING,
        "meanings": {key: wording.status_meaning(key, document) for key in document["status_codes"]},
        "learned": limits.shown(report.learned, fleet_file=fleet_file),
        "clean": exit_code == 0,
        "exit_code": exit_code,
        "result": wording.exit_meaning(exit_code, document),
        "totals": wording.totals_sentence(document),
        "facts": wording.facts(document),
    }
