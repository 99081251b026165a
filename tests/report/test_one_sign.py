"""One sign has one meaning, and each is written down once."""

import unicodedata
from pathlib import Path
from typing import get_args

import harness.report
from harness.report.format import ALLOWED, BEST, DOUBTFUL, LEVELS, MARKS, WORDS
from harness.report.terminal import STYLES
from harness.results.difference import Verdict

ROOM = Path(harness.report.__file__).parent
PLAIN = set("=?!*–")  # characters that text is made of, too


def test_no_sign_has_two_meanings() -> None:
    signs = [*MARKS.values(), ALLOWED, BEST, DOUBTFUL]
    assert len(set(signs)) == len(signs)
    assert (LEVELS["doubtful"], LEVELS["invalid"]) == (DOUBTFUL, MARKS["invalid"])


def test_each_verdict_has_a_sign_and_words_of_its_own() -> None:
    verdicts = set(get_args(Verdict))
    assert set(MARKS) == set(WORDS) == set(STYLES) == verdicts
    assert len(set(WORDS.values())) == len(verdicts)


def test_better_points_up_and_worse_down() -> None:
    """Whatever number is better: the sign is of the verdict, not of the difference."""
    names = {verdict: unicodedata.name(sign) for verdict, sign in MARKS.items()}
    assert names["better"] == "BLACK UP-POINTING TRIANGLE"
    assert names["worse"] == "BLACK DOWN-POINTING TRIANGLE"
    assert names["noise"] == "ALMOST EQUAL TO"
    assert names["equal"] == "EQUALS SIGN"


def test_no_sign_is_written_anywhere_else() -> None:
    signs = ({*MARKS.values(), ALLOWED} - PLAIN) | set("✕✖✘⚠")
    files = [*ROOM.rglob("*.py"), *ROOM.rglob("*.html")]
    assert len(files) > 30
    found = {
        f"{path.relative_to(ROOM)}: {sign}"
        for path in files
        for sign in signs
        if path.name != "format.py" and sign in path.read_text()
    }
    assert not found
