"""What a run comes to: counts that always add up, failures, causes, latency and speed, as data that merges."""

from sdrs_async.report.discovery import Unlisted
from sdrs_async.report.failures import failure_line
from sdrs_async.report.report import SCHEMA, Report
from sdrs_async.report.speed import Floor, Scopes

__all__ = ["SCHEMA", "Floor", "Report", "Scopes", "Unlisted", "failure_line"]
