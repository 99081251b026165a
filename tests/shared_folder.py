"""Where the real data sets lie that some tests need."""

import os
from pathlib import Path

SHARED = Path(os.environ.get("HARNESS_DATA") or Path(__file__).parents[2] / "shared" / "data")
