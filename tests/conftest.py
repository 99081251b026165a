"""What tests of several rooms share: real data sets, and runs of a tiny suite."""

import atexit
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
from shared_folder import SHARED
from tiny_suite import PLUGIN, harness_here, make_coco, write_manifest

from harness.stages.collecting import collect_seldom, set_aside

# a busy machine is no mistake of a test's
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

# images that tests decode are no user's; workers of xdist and other processes inherit this
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="harness-tests-")
    atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)

# what compilers made serves later sessions of tests, too
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", f"{tempfile.gettempdir()}/harness-tests-compiled")
# Nor is each of the processor's instruction sets tried out by compiling and importing torch: with
# torch 2.11 that takes longer than all else that is compiled there.
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")

collect_seldom()

# A shell starts its background jobs with SIGINT ignored, and all that tests start would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """As many as cores for `-n logical`; one more for `-n auto`: many tests wait for processes."""
    cores = len(os.sched_getaffinity(0))
    return cores if config.option.numprocesses == "logical" else cores + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of nothing but tests that take long come first, then those with some of them.

    The others then keep workers busy to the end.
    """
    quick, slow = set[Path](), set[Path]()
    for item in items:
        (slow if item.get_closest_marker("slow") else quick).add(item.path)
    items.sort(key=lambda item: (item.path in quick) + (item.path not in slow))


def pytest_collection_finish() -> None:
    """No collection of garbage walks over pytest's items and what they import."""
    set_aside()


@pytest.fixture(scope="module", autouse=True)
def _garbage_is_collected_seldom() -> None:
    """Nor over what earlier files have imported: each training and each timing collects it.

    3 % of the time; cells that a test runs in this process set the threshold back.
    """
    set_aside()
    collect_seldom()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data sets; tests that ask for it are marked `shared`."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data sets at {SHARED}; name their folder in HARNESS_DATA")
    return SHARED


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def mistake(self) -> str:
        """The one line of a user's mistake; notes on the data may stand before it."""
        lines = [line for line in self.err.splitlines() if not line.startswith("harness: note:")]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("harness: ")
        assert "Traceback" not in self.err
        return lines[0].removeprefix("harness: ")


Cli = Callable[..., Outcome]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command line in `tmp_path`, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def call(*arguments: object) -> Outcome:
        from harness.cli.app import run

        given = [str(a) for a in arguments]
        if given[0] in ("run", "plan", "predict"):
            given += ["-p", str(PLUGIN)]
        monkeypatch.setattr(sys, "argv", ["harness", *given])
        capfd.readouterr()
        code = run(given)
        return Outcome(code, *capfd.readouterr())

    return call


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four drawn images in each split."""
    return make_coco(tmp_path_factory.mktemp("data") / "coco")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """Folder in which the tiny suite has been run, under the id `done`."""
    folder = tmp_path_factory.mktemp("finished")
    write_manifest(folder / "m.yaml", data)
    done = harness_here("run", "m.yaml", "-p", PLUGIN, "--run-id", "done", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "stdout.txt").write_text(done.stdout)
    (folder / "stderr.txt").write_text(done.stderr)
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run to spoil."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path / "results" / "tiny" / "done"
