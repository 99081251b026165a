"""The Python interface: `harness.build` and `harness.load_results`."""

from harness.records.frame import load_results
from harness.run.building import build

__all__ = ["build", "load_results"]
