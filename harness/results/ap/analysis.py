"""Everything that the detections of one detector under one seed say."""

from collections.abc import Mapping
from typing import Any

from harness.manifest.schema import Report
from harness.results.ap.misses import find_misses
from harness.results.ap.precision import measure_precision
from harness.results.ap.tide import measure_errors
from harness.results.ap.types import CellAnalysis
from harness.stages.inputs import EvaluationInput


def analyse_cell(
    given: EvaluationInput, resize: Mapping[str, Any] | None, settings: Report
) -> CellAnalysis:
    """Estimates with intervals, curves, error kinds and misses.

    Args:
        given: detections and the ground truth of the images they were looked for in.
        resize: how images came into the network (`Resize.describe`), None where unknown: then
            there is no curve over sizes at the network's input.
        settings: resamples, size ranges and bins.
    """
    found = measure_precision(given, resize, settings)
    return CellAnalysis(**vars(found), errors=measure_errors(given), misses=find_misses(given))
