"""What a stranger's section may return."""

import pandas as pd
from markupsafe import Markup

from harness.results.run import Run


def markup(run: Run) -> Markup:
    return Markup("<b>bold</b>")


def text(run: Run) -> str:
    return "a < b"


def frame(run: Run) -> pd.DataFrame:
    return pd.DataFrame({"detector": run.detectors, "count": 1})


def nothing(run: Run) -> None:
    return None
