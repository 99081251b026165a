"""Runtimes, ours or from outside, are modes like any other: planned, checked, timed, reported."""

import gc
import json
import re
import shutil
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import onnxruntime
import pytest
import torch
from tiny_detectors import TinyDetector
from tiny_suite import PLUGIN, harness_here, tiny, write_manifest

import harness
from harness import load_results
from harness.modes.build import build_runner
from harness.results.run_folder import read_run

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "runtimes.md"
PROFILED = ("onnxruntime", "openvino", "onnxruntime-int8", "openvino-int8")
EIGHT = (*PROFILED[2:], "executorch-int8")
MODES = ("eager", "onnxruntime", "openvino", "executorch", *EIGHT)
LATENCY = "latency_end_to_end_p50"


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin that docs/runtimes.md shows."""
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert code is not None
    path = tmp_path_factory.mktemp("runtime") / "frozen.py"
    path.write_text(code.group(1))
    return path


@pytest.fixture(autouse=True)
def manifest(tmp_path: Path, data: Path) -> Path:
    return write_manifest(tmp_path / "m.yaml", data, [tiny("one")])


def test_a_runtime_of_a_file_is_timed_and_checked_like_any_mode(cli, tmp_path: Path, frozen: Path):
    choice = ("--modes", "eager,frozen", "--run-id", "r")
    done = cli("run", "m.yaml", "-p", frozen, *choice)
    assert done.code == 0, done.err
    frame = load_results(tmp_path / "results" / "tiny" / "r")
    own = frame[frame["mode"] == "frozen"].set_index("metric")
    assert own.loc["mode_agreement", "value"] == 1.0
    assert own.loc[LATENCY, "value"] > 0
    assert '"runtime": "torch ' in own.loc[LATENCY, "conditions"]
    assert "frozen" in done.out


def test_it_is_listed_and_described(cli, frozen: Path):
    assert "frozen  " in cli("list", "mode", "-p", frozen).out
    described = cli("describe", "frozen", "-p", frozen).out
    assert "mode, by plugin 'frozen'" in described
    assert "without autograd's records" in described


def test_what_it_lacks_is_an_error_where_it_was_asked_for(
    cli, frozen: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("harness.modes.by_torch.lacking", lambda precision, device: None)
    named = ("--modes", "eager,frozen", "--precisions", "bfloat16", "--stages", "latency")
    for choice in (named, ("--set", "latency.modes=[frozen]", *named[2:])):
        done = cli("run", "m.yaml", "-p", frozen, *choice)
        assert done.code == 2
        assert done.mistake == (
            "the mode 'frozen' cannot run on this device (cpu): frozen graphs are for processors, "
            "in float32 (--modes all takes those that can)"
        )


@pytest.fixture(scope="module")
def executorch() -> None:
    """Only the newest torch is tested with it."""
    pytest.importorskip("executorch")


@pytest.fixture(scope="module")
def in_all_runtimes(
    executorch: None, tmp_path_factory: pytest.TempPathFactory, data: Path
) -> tuple[Path, CompletedProcess[str]]:
    """A run in every mode, also with the runtimes' profilers, and what it said."""
    folder = tmp_path_factory.mktemp("runtimes")
    write_manifest(folder / "m.yaml", data, [tiny("one")])
    meters = "meters=[coco_ap,parameters,latency,profiled]"
    calibrated = ("--set", "latency.calibration_images=3", "--seeds", "5")
    chosen = ("--modes", ",".join(MODES), "--set", meters, *calibrated, "--run-id", "r")
    done = harness_here("run", "m.yaml", "-p", PLUGIN, *chosen, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "results" / "tiny" / "r", done


def test_the_shipped_runtimes_find_what_eager_finds_and_8_bits_have_an_ap_of_their_own(
    in_all_runtimes: tuple[Path, CompletedProcess[str]],
):
    run, done = in_all_runtimes
    assert all(f"latency {mode}: exporting and quantising" in done.stderr for mode in EIGHT)
    frame = load_results(run)
    conditions = {
        mode: json.loads(own[own["metric"] == LATENCY]["conditions"].iloc[0])
        for mode, own in frame[frame["stage"] == "latency"].groupby("mode")
    }
    assert set(conditions) == set(MODES)
    for mode in ("onnxruntime", "openvino", "executorch"):
        own = frame[frame["mode"] == mode].set_index("metric")["value"]
        assert own["mode_agreement"] > 0.999
        assert own["mode_compile_seconds"] > 0
        assert conditions[mode]["runtime"].startswith(mode)
        assert conditions[mode]["segments"] == ["network"]
        assert "ap" not in conditions[mode]
    for mode, convolution in zip(EIGHT, ("Conv", "Convolution", "conv2d"), strict=True):
        eight = conditions[mode]
        assert (eight["precision"], eight["calibration_images"], eight["calibration_seed"]) == (
            "int8", 3, 5,
        )  # fmt: skip
        assert convolution not in eight["float_operators"]
        score = frame[(frame["mode"] == mode) & (frame["metric"] == "ap_check")].iloc[0]
        assert (eight["ap_check"], eight["ap_images"]) == (score["value"], 4)
        assert eight["ap_eager"] == frame[frame["metric"] == "ap"]["value"].iloc[0]
        # what it found is kept, scored again and set against the float detector's
        found = read_run(run)
        again = found.estimate_quantized("one", mode, "ap")
        assert again.value == pytest.approx(score["value"], abs=1e-9)
        assert again.pairing == found.estimate("one", "ap").pairing != ""
        assert found.difference_quantized("one", mode, "ap").compared
    assert "8 bits minus float" in done.stdout


def test_what_it_costs_to_ship_is_measured_of_each_mode_that_can_tell(
    cli, tmp_path: Path, frozen: Path
):
    meters = "meters=[coco_ap,latency,deployment]"
    columns = "columns=[ap,model_size,load_time,first_inference]"
    chosen = ("-p", frozen, "--set", meters, "--set", columns)
    done = cli("run", "m.yaml", "--modes", "onnxruntime,eager,frozen", *chosen, "--run-id", "r")
    assert done.code == 0, done.err
    run = tmp_path / "results" / "tiny" / "r"
    frame = load_results(run)
    own = {mode: f.set_index("metric") for mode, f in frame.groupby("mode") if mode}
    weights = 8 * 3 * 16 * 16 + 8 + (2 + 4) * (8 + 1)
    assert own["eager"].loc["model_size", "value"] == 4 * weights / 1e6
    files = own["onnxruntime"]
    # the graph beside the weights
    assert 4 * weights / 1e6 < files.loc["model_size", "value"] < 4 * weights / 1e6 + 0.02
    assert '"counted": "files"' in files.loc["model_size", "conditions"]
    assert 0 < files.loc["load_time", "value"] < files.loc["mode_setup_seconds", "value"]
    assert files.loc["first_inference", "value"] > 0
    assert files.loc["first_inference", "count"] == 7
    assert not {"load_time", "first_inference"} & set(own["eager"].index)
    assert not {"model_size", "load_time", "first_inference"} & set(own["frozen"].index)
    assert all(title in done.out for title in ("model size", "load time", "first inference"))
    page = (run / "report.html").read_text()
    assert '<th scope="col">first inference<span class="unit">ms</span></th>' in page
    compared = cli(
        "compare", run, run, "--metrics", "model_size,load_time", "--gate", "model_size <= 0"
    )
    assert compared.code == 0, compared.err
    assert "load time" in compared.out


def test_graphs_tell_by_role_where_their_time_goes_and_torch_does_not(
    in_all_runtimes: tuple[Path, CompletedProcess[str]],
):
    run = read_run(in_all_runtimes[0])
    records = [r for r in run.measured if r.metric == "profiled_network"]
    assert {r.mode for r in records} == set(PROFILED)
    for mode in PROFILED:
        own = {
            r.scope.removeprefix(f"mode/{mode}").lstrip("/"): r for r in records if r.mode == mode
        }
        assert set(own) == {"", "role/backbone", "role/head", "role/unmapped"}
        shares = np.array([r.samples for scope, r in own.items() if scope])
        assert shares.shape == (3, 30)
        np.testing.assert_allclose(shares.sum(0), own[""].samples)
        assert (shares[:2] > 0).any(1).all()
        assert own[""].conditions["runtime"].startswith(mode.partition("-")[0])
        assert own[""].value == np.median(own[""].samples)
        # apart from the timed runs: those are as many as without it
        assert run.records_of("one", LATENCY, f"mode/{mode}")[0].count == 2


def test_files_are_loaded_again_for_it_and_gone_with_their_runner():
    detector = TinyDetector(2, "", "", 8).eval()
    runner = build_runner(detector, "onnxruntime")
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    with torch.inference_mode():
        before = runner.detect([image])
        segment = vars(runner.detector)["network"]
        session = next(iter(segment.made.values())).session
        artifact = runner.artifact()
        assert artifact is not None
        assert artifact.reload is not None
        assert artifact.reload() > 0
        assert next(iter(segment.made.values())).session is not session
        assert torch.equal(runner.detect([image]).scores, before.scores)
    [path] = segment.paths
    assert artifact.size == path.stat().st_size
    assert path.parent.exists()
    del runner, artifact, segment, session
    gc.collect()
    assert not path.parent.exists()


def test_each_batch_size_is_exported_once():
    detector = TinyDetector(2, "", "", 8).eval()
    runner, plain = build_runner(detector, "onnxruntime"), build_runner(detector)
    images = list(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))
    with torch.inference_mode():
        for count, exports in ((1, 1), (2, 2), (1, 2), (2, 2)):
            found, wanted = runner.detect(images[:count]), plain.detect(images[:count])
            torch.testing.assert_close(found.scores, wanted.scores, rtol=0, atol=1e-4)
            torch.testing.assert_close(found.boxes, wanted.boxes, rtol=0, atol=1e-3)
            assert len(list(vars(runner.detector)["network"].paths)) == exports
        spent = runner.compile_seconds()
        assert spent > 0
        runner.detect(images)
        assert runner.compile_seconds() == spent


def test_8_bits_need_the_training_split(cli, tmp_path: Path, data: Path):
    alone = tmp_path / "alone"
    shutil.copytree(data, alone)
    (alone / "annotations" / "instances_train.json").unlink()
    write_manifest(tmp_path / "m.yaml", alone, [tiny("one")])
    chosen = ("run", "m.yaml", "--stages", "latency", "--modes")
    assert "alone: has no split 'train'" in cli(*chosen, "onnxruntime-int8").mistake


@pytest.fixture
def exported(cli, tmp_path: Path):
    """Export the tiny detector after a training of two steps."""
    done = cli("run", "m.yaml", "--stages", "train", "--run-id", "r")
    assert done.code == 0, done.err
    checkpoint = "results/tiny/r/cells/one/seed0/checkpoint.pt"

    def export(mode: str, out: str):
        where = ("m.yaml", "one", "--checkpoint", checkpoint)
        return cli("export-model", *where, "--to", mode, "--out", out, "-p", PLUGIN)

    return export


def test_an_exported_model_needs_nothing_but_what_stands_beside_it(exported, tmp_path: Path):
    """From an image by model.json alone: what the file gives is what the detector gives."""
    assert exported("onnxruntime", "files").out == "network.onnx, model.json written in files\n"
    about = json.loads((tmp_path / "files" / "model.json").read_text())
    assert about["classes"] == ["square", "bar"]
    assert about["files"] == ["network.onnx"]
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64), dtype=np.uint8)
    matrix, offset = (np.array(about["normalize"][key]) for key in ("matrix", "offset"))
    pixels = np.einsum("oc,bchw->bohw", matrix, image) + offset[:, None, None]
    session = onnxruntime.InferenceSession(tmp_path / "files" / "network.onnx")
    given = {session.get_inputs()[0].name: pixels.astype(np.float32)}
    checkpoint = tmp_path / "results/tiny/r/cells/one/seed0/checkpoint.pt"
    detector = harness.build(
        tmp_path / "m.yaml", "one", checkpoint=checkpoint, plugins=[str(PLUGIN)]
    )
    with torch.no_grad():
        wanted = detector.network(detector.preprocess([torch.from_numpy(image[0])]))
    for found, raw in zip(session.run(None, given), wanted, strict=True):
        np.testing.assert_allclose(found, raw.numpy(), atol=1e-4)
    assert "files: is there already" in exported("onnxruntime", "files").mistake


@pytest.mark.usefixtures("executorch")
def test_8_bits_and_modes_without_files(exported, tmp_path: Path):
    assert exported("openvino", "ir").out.startswith("network.xml, network.bin, model.json")
    for mode in EIGHT:
        assert exported(mode, mode).code == 0
        about = json.loads((tmp_path / mode / "model.json").read_text())
        assert (about["precision"], about["calibration_images"]) == ("int8", 4)
    assert exported("executorch", "program").out.startswith("network.pte, model.json")
    # weights of one byte
    for plain, eight in (
        ("ir/network.bin", "openvino-int8/network.bin"),
        ("program/network.pte", "executorch-int8/network.pte"),
    ):
        assert (tmp_path / eight).stat().st_size < 0.5 * (tmp_path / plain).stat().st_size
    assert "the mode 'eager' has no files to write" in exported("eager", "none").mistake
    assert not (tmp_path / "none").exists()
