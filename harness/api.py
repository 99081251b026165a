"""The Python interface: `harness.build`, `harness.load_results` and `harness.open_run`."""

from harness.records.frame import load_results
from harness.report.notebook import open_run
from harness.run.building import build

__all__ = ["build", "load_results", "open_run"]
