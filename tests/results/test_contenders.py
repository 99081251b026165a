"""`harness choose` over the modes of a run folder: every one competes, 8 bits with their own AP."""

import json
from pathlib import Path

import pytest
from making_folders import write_scored_run
from making_sides import cell_of, lines_of, timed

from harness.records import layout
from harness.records.measurement import Measurement
from harness.records.store import write_records
from harness.results.contenders import estimate_in, find_contenders
from harness.results.run_folder import read_run
from harness.stages.scoring import evaluate
from harness_plugins.meters.coco_ap import CocoAp

EIGHT = "openvino-int8"
# milliseconds and MB by detector and mode
TIMES = {
    ("small", "eager"): 20.0, ("small", "openvino"): 9.0, ("small", EIGHT): 5.0,
    ("large", "eager"): 60.0, ("large", "openvino"): 25.0, ("large", EIGHT): 12.0,
}  # fmt: skip
SIZES = {"eager": 4.0, "openvino": 4.1, EIGHT: 1.1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The large one finds more; 8 bits lose one of three of what each finds."""
    run = tmp_path_factory.mktemp("runs") / "moded"
    write_scored_run(run, {("small", 0): 0.5, ("large", 0): 0.95})
    for (detector, mode), milliseconds in TIMES.items():
        scope = "" if mode == "eager" else f"mode/{mode}"
        size = SIZES[mode] * (4 if detector == "large" else 1)
        measured = [timed(milliseconds, mode=mode), Measurement("model_size", size)]
        if mode == EIGHT:
            value = _drop(layout.cell_folder(run, detector, 0), run / "annotations.json")
            told = {"quantized": True, "images": 16}
            measured.append(Measurement("ap_check", value, conditions=told))
        cell = {**cell_of("moded", detector, 0, "latency"), "mode": mode}
        scoped = [Measurement(**{**vars(m), "scope": scope}) for m in measured]
        write_records(run, lines_of(scoped, **cell))
    return run


def _drop(cell: Path, annotations: Path) -> float:
    """Keep two of three detections as those of 8 bits; their AP."""
    found = json.loads((cell / layout.DETECTIONS).read_text())
    kept = cell / layout.detections_name(EIGHT)
    kept.write_text(json.dumps([one for i, one in enumerate(found) if i % 3]))
    return next(m.value for m in evaluate(annotations, kept, [CocoAp()]) if m.metric == "ap")


def test_every_mode_of_every_detector_competes(folder: Path):
    run = read_run(folder)
    found = find_contenders(run)
    assert {(one.detector, one.mode) for one in found} == set(TIMES)
    for one in found:
        time = estimate_in(run, one, "latency_end_to_end_p50")
        assert time.value == TIMES[one.detector, one.mode]
        score, plain = (estimate_in(run, one, "ap"), run.estimate(one.detector, "ap"))
        if one.mode == EIGHT:
            assert score.value < 0.8 * plain.value
            assert score.value == pytest.approx(
                run.estimate(one.detector, "ap_check", one.scope).value
            )
            assert score.low < score.value < score.high
        else:
            assert score is plain


def test_the_command_names_detector_mode_and_uncertainty(cli, folder: Path):
    run = read_run(folder)
    best = cli("choose", folder, "--at-most", "latency=30ms")
    assert best.code == 0, best.err
    ap = 100 * run.estimate("large", "ap").value
    assert best.out.startswith(f"large in openvino: AP {ap:.1f} % [")
    assert "latency 25.0 ms" in best.out
    assert best.out.count("\n") == 1
    fast = cli("choose", folder, "--at-most", "latency=15ms").out
    own = 100 * run.estimate_quantized("large", EIGHT, "ap").value
    assert fast.startswith(f"large in {EIGHT}: AP {own:.1f} % [")
    both = cli("choose", folder, "--at-most", "latency=15", "--at-most", "model_size=4.2MB").out
    assert both.startswith("small in openvino: AP ")
    assert "latency 9.0 ms, model size 4.10 MB." in both


def test_a_mode_narrows_and_an_unknown_one_is_a_mistake(cli, folder: Path):
    assert cli("choose", folder, "--mode", "eager").out.startswith("large in eager: AP ")
    narrow = cli("choose", folder, "--mode", "eager,openvino", "--at-most", "latency=15")
    assert narrow.out.startswith("small in openvino: AP ")
    none = cli("choose", folder, "--mode", "eager", "--at-most", "latency=15")
    assert none.code == 4
    assert none.out == (
        "nothing fits: small in eager latency 20.0 ms > 15; large in eager latency 60.0 ms > 15\n"
    )
    wrong = cli("choose", folder, "--mode", "openvno")
    assert wrong.code == 2
    assert wrong.mistake.startswith("--mode: 'openvno' was not timed in this run (did you mean")
