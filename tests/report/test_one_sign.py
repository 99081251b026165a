"""One sign has one meaning, and each is written down once."""

from pathlib import Path

import harness.report
from harness.report.marks import ALLOWED, BEST, DOUBTFUL, LEVELS, MARKS

ROOM = Path(harness.report.__file__).parent
PLAIN = set("=?!*–")  # characters that text is made of, too


def test_no_sign_has_two_meanings() -> None:
    signs = [*MARKS.values(), ALLOWED, BEST, DOUBTFUL]
    assert len(set(signs)) == len(signs)
    assert (LEVELS["doubtful"], LEVELS["invalid"]) == (DOUBTFUL, MARKS["invalid"])


def test_no_sign_is_written_anywhere_else() -> None:
    signs = ({*MARKS.values(), ALLOWED} - PLAIN) | set("✕✖✘⚠")
    files = [*ROOM.rglob("*.py"), *ROOM.rglob("*.html")]
    assert len(files) > 40
    found = {
        f"{path.relative_to(ROOM)}: {sign}"
        for path in files
        for sign in signs
        if path.name != "marks.py" and sign in path.read_text()
    }
    assert not found
