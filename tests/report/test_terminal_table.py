"""The tables that a run prints, at the widths of terminals."""

from pathlib import Path

import pytest
from making_runs import make_run
from rich.console import Console
from rich.text import Text

from harness.report.format import DASH, DOUBTFUL, NBSP, half_width
from harness.report.summary import print_summary
from harness.report.terminal import Grid, Head, Value, say
from harness.results.run import Run

WIDTHS = (60, 80, 120)
MODES = ("eager", "fused", "compiled-bfloat16")


def text_of(shown: object, width: int) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        print_summary(shown, console) if isinstance(shown, Run) else console.print(shown)
    return captured.get().splitlines()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("terminal") / "run", modes=MODES)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_number_or_name_is_cut(run: Run, width: int) -> None:
    lines = text_of(run, width)
    tables = lines[: next(i for i, line in enumerate(lines) if line.startswith("AP: COCO's"))]
    assert max(map(len, tables)) <= width
    assert "…" not in "".join(tables)
    words = {word for line in tables for word in line.split()}
    shown = [run.estimate(name, metric) for name in run.detectors for metric in run.columns]
    assert {half_width(one) for one in shown} - {""} <= words
    assert {*run.detectors, *MODES, "parameters", "agreement"} <= words


def test_half_the_interval_stands_beside_a_value(run: Run) -> None:
    text = "\n".join(text_of(run, 120))
    estimate = run.estimate(run.detectors[0], "ap")
    assert estimate.high > estimate.low
    half = 100 * (estimate.high - estimate.low) / 2
    assert f"{100 * estimate.value:.1f}{DOUBTFUL} ±{half:.1f}" in text
    assert f"{DOUBTFUL} doubtful" in text  # of so few images
    assert "±: half the 95 % interval" in text


def test_without_intervals_there_is_no_word_of_them(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", analysed=False, columns=["ap", "parameters"])
    assert "±" not in "\n".join(text_of(run, 120))


def grid() -> Grid:
    made = Grid(["name", Head("a title", "ms"), "what it is"], title="a title above it all")
    made.group("a group with a heading as wide as it likes")
    made.add("first_name", f"1,234.5{NBSP}±1.2", "some words about it")
    made.group("[red]another[/red]")
    made.add("other", Text("2.0", style="red"))
    return made


@pytest.mark.parametrize("width", [12, 20, 30, 60])
def test_a_table_is_never_wider_than_its_console_and_loses_nothing(width: int) -> None:
    lines = text_of(grid(), width)
    assert max(map(len, lines)) <= width
    letters = sorted("".join(lines).replace(" ", "").replace("─", ""))
    expected = (
        "a title above it all name a title ms what it is a group with a heading as wide as it likes"
        "first_name 1,234.5 ±1.2 some words about it [red]another[/red] other 2.0"
    )
    assert letters == sorted(expected.replace(" ", ""))


def test_what_is_held_together_stays_on_a_line() -> None:
    for width in (30, 60):
        assert any("1,234.5 ±1.2" in line for line in text_of(grid(), width))


def test_words_of_heads_are_broken_before_those_of_cells() -> None:
    made = Grid(["", Head("a_long_name_of_a_run")])
    made.add("AP", "12345.6")
    lines = text_of(made, 11)
    assert max(map(len, lines)) <= 11
    assert any("12345.6" in line for line in lines)


@pytest.mark.parametrize("right", [True, False])
def test_digits_stand_below_one_another_whichever_have_marks(right: bool) -> None:
    made = Grid(["", Head("AP", right=right)])
    for number, marks in (("30.2", DOUBTFUL), ("34.7", f"*{DOUBTFUL}"), ("11.3", "")):
        made.add("a", Value(Text(number), Text(marks), Text(" ±1.2")))
    rows = text_of(made, 40)[2:]
    assert rows[1].endswith(f"34.7*{DOUBTFUL} ±1.2")
    assert len({row.index(".") for row in rows}) == len({row.index("±") for row in rows}) == 1


def test_a_dash_stands_below_digits_where_what_follows_them_is_on_a_line_of_its_own() -> None:
    made = Grid(["", Head("AP")])
    made.add("a", Value(Text("30.2"), Text(DOUBTFUL), Text(" ±12.5")))
    made.add("b", Value(Text(DASH), Text(), Text()))
    digits, half, dash = text_of(made, 9)[2:]
    assert half.split() == ["±12.5"]
    assert dash.index(DASH) == digits.index(DOUBTFUL) - 1


def test_units_have_a_line_only_where_there_are_some() -> None:
    without = Grid(["a", "b"])
    without.add("1", "2")
    bare = Grid(["", ""])
    bare.add("1", "2")
    assert [line.split() for line in text_of(without, 20)] == [["a", "b"], ["────"], ["1", "2"]]
    assert [line.split() for line in text_of(bare, 20)] == [["1", "2"]]


def test_lines_are_whole_where_no_person_reads_them(capsys: pytest.CaptureFixture[str]) -> None:
    line = "many words " * 20
    say(Console(width=40, force_terminal=False), [line.strip(), ""])
    assert capsys.readouterr().out.splitlines() == [line.strip()]


def test_a_name_that_has_no_room_is_broken_behind_a_hyphen_or_an_underscore() -> None:
    made = Grid(["mode", Head("AP", "points")])
    made.add("onnxruntime-int8", f"[−12.6,{NBSP}+14.9]")
    made.add("nanodet_plus_m", "0")
    wide, narrow = (text_of(made, width) for width in (40, 27))
    assert [line.split()[0] for line in wide[3:]] == ["onnxruntime-int8", "nanodet_plus_m"]
    assert [line.split() for line in narrow[3:]] == [
        ["onnxruntime-", "[−12.6,", "+14.9]"], ["int8"], ["nanodet_", "0"], ["plus_m"],
    ]  # fmt: skip
    assert max(map(len, narrow)) <= 27
    assert "\x1f" not in "".join(wide + narrow)


def test_words_of_a_sentence_are_not_broken_where_the_next_line_has_room() -> None:
    made = Grid(["set", "to"])
    made.add("a", "first=1, per_class=True, max_detections=100")
    assert [line.split() for line in text_of(made, 30)[2:]] == [
        ["a", "first=1,", "per_class=True,"], ["max_detections=100"],
    ]  # fmt: skip
