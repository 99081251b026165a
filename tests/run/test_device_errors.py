"""What CUDA says when it cannot go on, as a person reads it."""

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import pynvml
import pytest
import torch
from tiny_suite import tiny, write_manifest

from harness.errors import UserError
from harness.plan.cells import Cell
from harness.records.store import read_run_records
from harness.run import launch as launch_module
from harness.run.device_errors import check_cuda, explain_device_error
from harness.run.diagnosis import _gpus
from harness.run.launch import find_launch
from harness.run.stages import StageRunner

OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.10 GiB of "
    "which 1.19 GiB is free. Including non-PyTorch memory, this process has 77.90 GiB memory in "
    "use. Of the allocated memory 76.02 GiB is allocated by PyTorch, and 512.00 MiB is reserved by "
    "PyTorch but unallocated. If reserved but unallocated memory is large try setting "
    "PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation."
)
NO_KERNEL = (
    "CUDA error: no kernel image is available for execution on the device\n"
    "CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace "
    "below might be incorrect.\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions."
)
OLD_DRIVER = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU "
    "driver by downloading and installing a new version from the URL: "
    "http://www.nvidia.com/Download/index.aspx Alternatively, go to: https://pytorch.org to "
    "install a PyTorch version that has been compiled with your version of the CUDA driver."
)
MISFIT = (
    "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling "
    "NumCudaDevices() that might have already set an error? Error 803: system has unsupported "
    "display driver / cuda driver combination"
)
NO_DRIVER = (
    "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed "
    "a driver from http://www.nvidia.com/Download/index.aspx"
)
HELD = "CUDA error: CUDA-capable device(s) is/are busy or unavailable\nSearch for ..."


def cell(stage: str) -> Cell:
    return Cell(detector="s", seed=0, stage=stage, fingerprint="f")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stage", "batch", "line"),
    [
        (
            "train",
            32,
            "out of memory with a batch of 32: 2.50 GiB more needed beside 76.02 GiB in use; the "
            "device has 79.10 GiB, 1.19 GiB of it free (a smaller batch: --set "
            "detectors.s.train.batch_size=16)",
        ),
        ("evaluate", 8, "a smaller batch: --set evaluate.batch_size=4"),
        ("latency", 2, "a smaller batch: --set latency.batch_size=1"),
        ("latency", 1, "a batch of 1: 2.50 GiB more needed"),
        ("latency", 1, "(a smaller input, or a device with more memory)"),
        ("cost", None, "out of memory with one image: 2.50 GiB more needed"),
    ],
)
def test_out_of_memory_names_batch_need_device_and_key(stage, batch, line):
    said = explain_device_error(torch.OutOfMemoryError(OUT_OF_MEMORY), cell(stage), batch)
    assert line in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 400 bytes. Error code 12 (Cannot allocate memory)",
    ],
)
def test_every_library_runs_out_of_memory_in_its_own_words(text):
    said = explain_device_error(RuntimeError(text), cell("train"), 4)
    assert said.startswith("out of memory with a batch of 4")


def test_other_errors_are_no_device_errors():
    assert explain_device_error(RuntimeError("shapes do not fit"), cell("train"), 4) is None
    assert explain_device_error(ValueError("out of memory"), cell("train"), 4) is None


def test_a_gpu_that_a_binary_has_no_code_for_is_one_line_of_its_cell():
    said = explain_device_error(RuntimeError(NO_KERNEL), cell("latency"), 1)
    assert said.startswith("the GPU's architecture is not among those")
    assert "\n" not in said


@pytest.mark.slow
def test_the_others_go_on_and_the_memory_is_given_back(
    cli, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
):
    """What the failed cell had allocated is in its frames; the next cell must not find it."""
    held: list[weakref.ref[torch.Tensor]] = []
    evaluate = StageRunner._evaluate

    def run_out(self, weighted, folder, advance):
        if "full" not in str(folder):
            assert held[0]() is None, "what the failed cell had allocated"
            return evaluate(self, weighted, folder, advance)
        activations = torch.zeros(1000)
        held.append(weakref.ref(activations))
        cycle = [activations]
        cycle.append(cycle)
        raise torch.OutOfMemoryError(OUT_OF_MEMORY)

    monkeypatch.setattr(StageRunner, "_evaluate", run_out)
    write_manifest(tmp_path / "m.yaml", data, [tiny("full"), tiny("sound")])
    gc.disable()
    try:
        done = cli("run", "m.yaml", "--run-id", "memory")
    finally:
        gc.enable()
    assert done.code == 1
    folder = tmp_path / "results" / "tiny" / "memory"
    ends = {(r.detector, r.stage): r for r in read_run_records(folder) if r.kind == "cell"}
    failed = [place for place, record in ends.items() if record.status != "ok"]
    assert failed == [("full", "evaluate")]
    line = ends["full", "evaluate"].error
    assert line.startswith("out of memory with a batch of")
    assert "--set evaluate.batch_size=" in line
    assert not list(folder.rglob("*_error.txt")), "it is not a bug"


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretends that CUDA has so many devices, and fails with this text at the start or in use."""

    def pretend(count: int = 1, at_start: str = "", in_use: str = "") -> None:
        def start() -> None:
            if at_start:
                raise RuntimeError(at_start)

        def zeros(*_: object, **__: object) -> torch.Tensor:
            if in_use:
                raise RuntimeError(in_use)
            return torch.ones(1)

        monkeypatch.setattr(torch.cuda, "init", start)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: not at_start and count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch, "zeros", zeros)
        monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: max(1, count))

    return pretend


@pytest.mark.parametrize(
    ("given", "device", "line"),
    [
        (
            {"count": 2},
            "cuda:7",
            "'cuda:7' does not exist: this machine has 2 CUDA devices, cuda:0 to cuda:1",
        ),
        ({"count": 0}, "cuda", "'cuda:0' does not exist: this machine has 0 CUDA devices"),
        ({"at_start": OLD_DRIVER}, "cuda", "the NVIDIA driver is older than torch's CUDA"),
        ({"at_start": MISFIT}, "cuda:0", "the NVIDIA driver does not fit torch's CUDA"),
        ({"at_start": NO_DRIVER}, "cuda", "there is no NVIDIA driver"),
        ({"in_use": NO_KERNEL}, "cuda", "the GPU's architecture is not among those"),
        ({"in_use": HELD}, "cuda", "the GPU is held by another process"),
        ({"in_use": "CUDA error: something new\nmore"}, "cuda", "used: CUDA error: something new"),
    ],
)
def test_a_device_that_cannot_be_used_is_found_at_the_start(cuda, given, device, line):
    cuda(**given)
    with pytest.raises(UserError) as caught:
        find_launch(device)
    said = str(caught.value)
    assert said.startswith("--device: ")
    assert line in said
    assert caught.value.hint
    assert "\n" not in said


def test_a_device_that_can_be_used_is_taken(cuda, monkeypatch):
    """Also as the current one, to which streams and captures belong."""
    cuda(count=2)
    current = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    assert find_launch("cuda:1").device == torch.device("cuda", 1)
    assert find_launch("auto").device == torch.device("cuda", 0)
    assert current == [torch.device("cuda", 1), torch.device("cuda", 0)]
    check_cuda(torch.device("cuda", 1))


def test_auto_says_why_a_gpu_that_is_there_is_not_used(cuda, monkeypatch):
    cuda(at_start=OLD_DRIVER)
    found = find_launch("auto")
    assert found.device.type == "cpu"
    assert found.note.startswith("the CPU is used: 'cuda:0' cannot be used: the NVIDIA driver is")
    monkeypatch.setattr(launch_module, "_gpus_by_nvml", lambda: 0)
    assert find_launch("auto").note == ""


def test_the_doctor_says_the_same(cuda):
    cuda(at_start=OLD_DRIVER)
    [finding] = _gpus()
    assert (finding.level, finding.what) == ("note", "GPU")
    assert "driver is older" in finding.found
    cuda(count=1, in_use=NO_KERNEL)
    [finding] = _gpus()
    assert (finding.level, finding.what) == ("bad", "GPU 0")
    assert "architecture" in finding.found
