"""The signs of verdicts and doubts: one sign, one meaning, on the terminal and on every page.

Each verdict has a sign of its own, so that colour is never needed.
"""

from collections.abc import Mapping

from harness.results.types import Verdict

MARKS: Mapping[Verdict, str] = {
    "better": "▲",
    "worse": "▼",
    "changed": "◆",
    "equal": "=",
    "noise": "≈",
    "unknown": "?",
    "refused": "✗",
    "invalid": "⊘",
    "missing": "–",
}
DOUBTFUL = "!"
ALLOWED = "≠"  # behind a difference between what was not measured alike
BEST = "*"  # behind a value
# of a value by itself, by its level of validity
LEVELS: Mapping[str, str] = {"valid": "", "doubtful": DOUBTFUL, "invalid": MARKS["invalid"]}
