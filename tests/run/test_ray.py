"""Cells as tasks of a Ray that is started for the tests: none is lost with a worker or a node."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cell_jobs import (
    assert_equal_weights,
    ends,
    finish,
    outcome,
    started,
    wait_for_file,
    wait_for_worker,
    write_suite,
)
from tiny_suite import tiny

from harness.errors import UserError
from harness.run.jobs import Task
from harness_plugins.executors import RayParams

pytestmark = pytest.mark.slow

ray = pytest.importorskip("ray", reason="the executor ray needs ray")

TRAIN = ["--stages", "train"]
PATIENT = "trap 'echo saved; exit 5' TERM; touch started; while :; do sleep 0.1; done"


def make_executor(**params: Any) -> Any:
    from harness_plugins.executors.ray_tasks import RayTasks

    return RayTasks(**RayParams(**params).model_dump())


def make_task(folder: Path, command: str, alone: bool = False) -> Task:
    folder.mkdir()
    words = ["sh", "-c", command]
    return Task("one/seed0/train", words, folder, {}, folder / "one.log", alone, 1)


@pytest.fixture(scope="module", autouse=True)
def own_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A token of the tests' own, and a cluster that talks over loopback alone.

    Ray would make a token for the user who runs the tests, and its processes would meet at the
    address of a network card, which a sandbox or a firewall may not let through. The variable is
    the one that says whether other machines take part.
    """
    path = tmp_path_factory.mktemp("ray") / "token"
    path.write_text(os.urandom(16).hex())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        yield


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without processors and two nodes; all are this machine."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        made.add_node(num_cpus=1)
        made.large = made.add_node(num_cpus=2)
        made.wait_for_nodes()
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def test_without_ray_the_user_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "harness_plugins.executors.ray_tasks", raising=False)
    with pytest.raises(UserError, match="needs ray") as caught:
        make_executor()
    assert caught.value.hint == "pip install 'harness[ray]'"


def test_ray_trains_what_one_process_trains_though_one_worker_is_killed(tmp_path: Path, data: Path):
    inline = tmp_path / "inline"
    for folder in (tmp_path, inline):
        write_suite(folder, data, tiny("one"), tiny("two", channels=4))
    options = ["--executor", "ray", "--set", "executor.cpus=0.5", *TRAIN]
    with started(tmp_path, *options, variables={"TINY_SLEEP_losses": "0.3"}) as run:
        command = wait_for_worker(run, tmp_path, "two")
        worker = command.parent()
        assert worker is not None
        worker.kill()
        said = finish(run, tmp_path)
    assert said.count("it is started again") == 1
    assert "two seed 0 train: its process was lost with its worker; it is started again" in said
    assert ends(tmp_path) == {"one/0/train": "ok", "two/0/train": "ok"}
    with started(inline, *TRAIN) as run:
        finish(run, inline)
    assert_equal_weights(tmp_path, inline)


def test_a_task_ends_as_the_executor_wishes_and_with_its_node(cluster: Any, tmp_path: Path):
    executor = make_executor(address=cluster.address)
    failing = executor.start(make_task(tmp_path / "failing", "exit 3"))
    assert outcome(failing) == "ended with exit code 3"

    stopped = executor.start(make_task(tmp_path / "stopped", PATIENT))
    wait_for_file(tmp_path / "stopped" / "started")
    assert stopped.poll() is None
    stopped.stop()
    assert outcome(stopped) == "ended with exit code 5"
    assert (tmp_path / "stopped" / "one.log").read_text() == "saved\n"

    # has the node of two processors to itself; one that wants as many has to wait
    timed = executor.start(make_task(tmp_path / "timed", PATIENT, alone=True))
    wait_for_file(tmp_path / "timed" / "started")
    waiting = executor.start(make_task(tmp_path / "waiting", PATIENT, alone=True))
    beside = executor.start(make_task(tmp_path / "beside", "true"))
    assert outcome(beside) == ""
    waiting.stop()
    assert outcome(waiting) == "was cancelled"
    assert not (tmp_path / "waiting" / "started").exists()

    killed = executor.start(make_task(tmp_path / "killed", f"echo $$ > pid; {PATIENT}"))
    wait_for_file(tmp_path / "killed" / "started")
    killed.kill()
    assert outcome(killed) in ("was cancelled", "was lost with its worker")

    assert timed.poll() is None
    cluster.remove_node(cluster.large, allow_graceful=False)
    assert outcome(timed) in ("was lost with its node", "was lost with its worker")


def test_a_cluster_that_is_not_there_is_the_users_to_start():
    with pytest.raises(UserError, match="Ray does not start"):
        make_executor(address="auto")
