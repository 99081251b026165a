"""A run in several modes: which cells there are, which fail, and which mode tables show."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_suite import tiny, write_manifest

from harness import load_results
from harness.model.detector import Detector
from harness.model.types import Detections
from harness.modes.build import build_runner
from harness.modes.runner import Runner
from harness.records.store import read_run_records
from harness.run import mode_choice as run_modes
from harness.stages import latency as stage

pytestmark = pytest.mark.slow

NO_GPU = "needs a GPU"
LATENCY = "latency_end_to_end_p50"


def build_fake(
    detector: Detector, mode: str = "eager", precision: str = "float32", calibration: None = None
) -> Runner:
    """`fused` is right, `compiled` finds its boxes elsewhere, 16 bits are a bug."""
    runner = build_runner(detector, "eager")
    if precision == "bfloat16":
        raise ZeroDivisionError("no bfloat16")
    if mode == "compiled":
        return replace(runner, mode=mode, detect_pixels=elsewhere(runner.detect_pixels))
    return replace(runner, mode=mode, about=lambda: {"graph_breaks": 0} if mode != "eager" else {})


def elsewhere(detect: Callable[..., Detections]) -> Callable[..., Detections]:
    def detecting(inputs: object) -> Detections:
        found = detect(inputs)
        return replace(found, boxes=found.boxes + 100)

    return detecting


def lacks(mode: str, precision: str, device: torch.device) -> str | None:
    if mode not in ("eager", "fused", "compiled", "cuda_graph"):
        return "is not installed"
    return NO_GPU if mode == "cuda_graph" or precision in ("tf32", "float16") else None


@pytest.fixture
def modes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: Path) -> None:
    """All but `cuda_graph`, `tf32` and `float16` can be had, and a manifest stands ready."""
    monkeypatch.setattr(stage, "build_runner", build_fake)
    monkeypatch.setattr(run_modes, "unavailable", lacks)
    write_manifest(tmp_path / "m.yaml", data, [tiny("one"), tiny("two", channels=4)])


def folder(tmp_path: Path, run_id: str) -> Path:
    return tmp_path / "results" / "tiny" / run_id


@pytest.mark.usefixtures("modes")
def test_all_modes_are_measured_and_one_that_is_wrong_fails_alone(cli, tmp_path: Path):
    choice = ("--modes", "all", "--precisions", "float32,bfloat16")
    done = cli("run", "m.yaml", *choice, "--run-id", "all")
    assert done.code == 1
    assert done.err.count("harness: note: modes that cpu does not have are left out: ") == 1
    assert f"cuda_graph, cuda_graph-bfloat16 ({NO_GPU})" in done.err
    records = read_run_records(folder(tmp_path, "all"))
    ends = {(r.detector, r.mode): r for r in records if r.kind == "cell" and r.stage == "latency"}
    assert list(ends) == [
        (name, mode)
        for name in ("one", "two")
        for mode in (
            *(
                "eager",
                "eager-bfloat16",
                "fused",
                "fused-bfloat16",
                "compiled",
                "compiled-bfloat16",
            ),
        )
    ]
    for name in ("one", "two"):
        assert ends[name, "eager"].status == ends[name, "fused"].status == "ok"
        assert "agreement 0.0000 where 0.99 is required" in ends[name, "compiled"].error
        assert "ZeroDivisionError: no bfloat16" in ends[name, "eager-bfloat16"].error
        assert "latency_eager-bfloat16_error.txt" in ends[name, "eager-bfloat16"].error
        assert f"{name} seed 0 latency compiled: failed" in done.err
        phases = ("compiling", "checking against eager")
        assert all(f"{name} seed 0 latency compiled: {what}" in done.err for what in phases)
        assert f"{name} seed 0 latency fused: warming up" in done.err
    assert len({end.fingerprint for end in ends.values()}) == len(ends)
    _check_measured(folder(tmp_path, "all"))
    _check_shown(folder(tmp_path, "all"), done.out)


def _check_measured(run: Path) -> None:
    frame = load_results(run)
    shown = frame[(frame["metric"] == LATENCY) & (frame["scope"] == "")]
    assert list(zip(shown["detector"], shown["mode"], strict=True)) == [
        ("one", "eager"),
        ("two", "eager"),
    ]
    fused = frame[(frame["mode"] == "fused") & (frame["detector"] == "one")]
    assert set(fused["scope"]) == {"mode/fused"}
    assert {LATENCY, "mode_agreement", "ap_check", "mode_setup_seconds", "cell_seconds"} <= set(
        fused["metric"]
    )
    assert "mode_compile_seconds" not in set(fused["metric"])
    assert float(fused[fused["metric"] == "mode_agreement"]["value"].iloc[0]) == 1.0
    assert '"graph_breaks": 0' in fused[fused["metric"] == LATENCY]["conditions"].iloc[0]
    others = frame[frame["stage"] != "latency"]
    assert set(others["mode"]) == {""}
    assert not others["scope"].str.startswith("mode/").any()


def _check_shown(run: Path, out: str) -> None:
    """The modes have a section of their own, and do not appear as the detectors' latency."""
    page = (run / "report.html").read_text()
    assert '<section id="modes"' in page
    assert "agreement 0.000" in page
    assert "compiled" in out


@pytest.mark.usefixtures("modes")
def test_a_mode_asked_for_by_name_must_be_there(cli, tmp_path: Path):
    done = cli("run", "m.yaml", "--modes", "eager,cuda_graph", "--run-id", "never")
    assert done.code == 2
    assert done.mistake == (
        "the mode 'cuda_graph' cannot run on this device (cpu): needs a GPU "
        "(--modes all takes those that can)"
    )
    assert not (tmp_path / "results").exists()


@pytest.mark.usefixtures("modes")
@pytest.mark.parametrize(
    ("choice", "mistake"),
    [
        ("--modes all --precisions tf32", "the precision 'tf32' cannot run on this device (cpu): "),
        ("--modes cuda_graph --precisions all", "the mode 'cuda_graph' cannot run on this device"),
    ],
)
def test_all_of_one_axis_excuses_nothing_of_the_other(cli, choice: str, mistake: str):
    done = cli("run", "m.yaml", *choice.split(), "--run-id", "never")
    assert done.code == 2
    assert done.mistake.startswith(mistake)


@pytest.mark.usefixtures("modes")
def test_precisions_that_a_device_lacks_are_left_out_of_all(cli, tmp_path: Path):
    choice = ("--only", "one", "--stages", "latency", "--precisions", "all")
    done = cli("run", "m.yaml", *choice, "--run-id", "precisions")
    assert f"are left out: eager-tf32, eager-float16 ({NO_GPU})" in done.err
    assert scopes(folder(tmp_path, "precisions")) == {"eager": ""}
    assert "latency eager-bfloat16: failed: ZeroDivisionError" in done.err


@pytest.mark.usefixtures("modes")
def test_modes_that_no_stage_needs_are_nobodys_mistake(cli):
    done = cli("run", "m.yaml", "--modes", "cuda_graph", "--stages", "cost", "--run-id", "cost")
    assert done.code == 0, done.err


@pytest.mark.parametrize("command", ["run", "plan"])
def test_an_unknown_mode_is_told_with_the_near_name(cli, tmp_path: Path, data: Path, command: str):
    write_manifest(tmp_path / "m.yaml", data)
    done = cli(command, "m.yaml", "--modes", "eager,compild")
    assert done.code == 2
    assert done.mistake.startswith(
        "--modes: there is no mode 'compild' (did you mean 'compiled'? there is: all, compiled,"
    )


@pytest.mark.usefixtures("modes")
def test_the_first_mode_is_the_one_that_tables_show(cli, tmp_path: Path):
    choice = ("--only", "one", "--stages", "latency", "--modes", "fused,eager")
    assert cli("run", "m.yaml", *choice, "--run-id", "first").code == 0
    assert scopes(folder(tmp_path, "first")) == {"fused": "", "eager": "mode/eager"}


@pytest.mark.usefixtures("modes")
def test_a_run_that_goes_on_keeps_what_it_has_and_the_mode_that_it_shows(cli, tmp_path: Path):
    again = ("m.yaml", "--only", "one", "--stages", "train,latency", "--run-id", "on")
    assert cli("run", *again).code == 0
    done = cli("run", *again, "--resume", "--modes", "fused,eager")
    assert done.code == 0, done.err
    assert "one seed 0 latency: kept" in done.err
    assert "one seed 0 latency fused: ok" in done.err
    assert scopes(folder(tmp_path, "on")) == {"eager": "", "fused": "mode/fused"}
    again = cli("run", *again, "--resume", "--modes", "fused,eager")
    assert "all 3 cells were measured before" in again.out


def scopes(run: Path) -> dict[str, str]:
    frame = load_results(run)
    rows = frame[frame["metric"] == LATENCY]
    assert not rows["mode"].duplicated().any()
    return dict(zip(rows["mode"], rows["scope"], strict=True))
