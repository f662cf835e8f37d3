"""A report as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from sdrs_async.report import Report


def write(
    report: Report, file: TextIO, *, failures: Iterable[Mapping[str, Any]] | None = None, fleet_file: bool = False
) -> None:
    """Write the report as one JSON object, a line per project, failure and cause. Arguments as of `Format.write`.

    The failures are written as they come, and `failures_omitted` says how many of all failed targets are then still
    missing.
    """
    document = report.to_dict()
    lines = document["failures"] if failures is None else failures
    # After the failures, since only their end tells how many there were.
    del document["failures"], document["failures_omitted"]
    for key, value in document.items():
        file.write(f"{',' if key != 'schema' else '{'}\n  {json.dumps(key)}: ")
        _write_list(file, value) if isinstance(value, list) else file.write(json.dumps(value))
    file.write(',\n  "failures": ')
    written = _write_list(file, lines)
    file.write(f',\n  "failures_omitted": {document["targets"]["failed"] - written}\n}}\n')


def _write_list(file: TextIO, items: Iterable[Any]) -> int:
    count, before = 0, "["
    for item in items:
        file.write(f"{before}\n    {json.dumps(item)}")
        count, before = count + 1, ","
    file.write("\n  ]" if count else "[]")
    return count
