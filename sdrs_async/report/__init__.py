"""What came of it? Counts that always add up, failures, causes and latency, as data that merges."""

from sdrs_async.report.discovery import Unlisted
from sdrs_async.report.failures import failure_line
from sdrs_async.report.report import SCHEMA, Report

__all__ = ["SCHEMA", "Report", "Unlisted", "failure_line"]
