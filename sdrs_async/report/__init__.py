"""What came of it? Counts that always add up, failures, causes and latency, as data that merges."""

from sdrs_async.report.discovery import Unlisted
from sdrs_async.report.failures import Failure, failure_line
from sdrs_async.report.ledger import Ledger
from sdrs_async.report.report import SCHEMA, Report
from sdrs_async.report.sections import Totals

__all__ = ["SCHEMA", "Failure", "Ledger", "Report", "Totals", "Unlisted", "failure_line"]
