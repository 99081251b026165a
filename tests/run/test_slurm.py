"""Cells as jobs: of submitit on this machine, and of a Slurm that is started for the tests."""

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from cell_jobs import (
    STEPS,
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
from harness_plugins.executors import SlurmParams

pytestmark = pytest.mark.slow

pytest.importorskip("submitit", reason="the executor slurm needs submitit")

LOCAL = ["--executor", "slurm", "--set", "executor.cluster=local"]
TRAIN = ["--stages", "train"]
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel")


def make_task(folder: Path, *command: str, alone: bool = False) -> Task:
    return Task("one/seed0/train", command, folder, {}, folder / "one.log", alone, 1)


def make_executor(**params: Any) -> Any:
    from harness_plugins.executors.slurm import Slurm

    return Slurm(**SlurmParams(**params).model_dump())


def test_without_slurm_the_user_is_told_before_anything_runs(
    cli, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
):
    write_suite(tmp_path, data, tiny())
    monkeypatch.setenv("PATH", str(tmp_path))
    done = cli("run", "m.yaml", "--executor", "slurm")
    assert done.code == 2
    assert done.mistake == "executor: there is no Slurm on this machine (it has no sbatch)"
    assert not (tmp_path / "results").exists()


def test_without_submitit_the_user_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    monkeypatch.delitem(sys.modules, "harness_plugins.executors.slurm", raising=False)
    with pytest.raises(UserError, match="needs submitit") as caught:
        make_executor(cluster="local")
    assert caught.value.hint == "pip install 'harness[slurm]'"


def test_local_jobs_train_and_a_killed_one_is_started_again(tmp_path: Path, data: Path):
    write_suite(tmp_path, data, tiny("one"))
    options = [*LOCAL, *TRAIN, "--set", "executor.setup=[echo prepared]"]
    with started(tmp_path, *options, variables={"TINY_SLEEP_losses": "0.2"}) as run:
        wait_for_worker(run, tmp_path, "one").kill()
        said = finish(run, tmp_path)
    assert "one seed 0 train: its process was ended by SIGKILL; it is started again" in said
    assert ends(tmp_path) == {"one/0/train": "ok"}
    [log] = tmp_path.glob("results/tiny/s/cells/one/seed0/logs/train.log")
    assert log.read_text().count("prepared\n") == 2
    assert log.read_text().endswith("[1/1] one seed 0 train: ok\n")


def test_a_local_job_passes_the_wish_to_stop_on(tmp_path: Path, data: Path):
    write_suite(tmp_path, data, tiny("one"))
    with started(tmp_path, *LOCAL, *TRAIN, variables={"TINY_SLEEP_losses": "0.5"}) as run:
        wait_for_worker(run, tmp_path, "one")
        run.send_signal(signal.SIGINT)
        finish(run, tmp_path, 130)
    assert ends(tmp_path) == {"one/0/train": "interrupted"}
    assert (tmp_path / "results/tiny/s/cells/one/seed0/state.pt").is_file()


def test_a_local_job_is_killed_with_its_command(tmp_path: Path):
    job = make_executor(cluster="local").start(
        make_task(tmp_path, "sh", "-c", "echo $$ > pid; trap '' TERM; touch started; sleep 600")
    )
    wait_for_file(tmp_path / "started")
    command = psutil.Process(int((tmp_path / "pid").read_text()))
    job.kill()
    assert outcome(job).startswith("ended without a result in job ")
    command.wait(timeout=5)


CONF = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.sock
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=10
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2
PartitionName=all Nodes=ALL Default=YES MaxTime=60 State=UP
"""


def free_ports(count: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [taker.getsockname()[1] for taker in taken]
    for taker in taken:
        taker.close()
    return ports


def run_slurm(folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    (folder / "state").mkdir()
    (folder / "key").touch(0o600)
    (folder / "key").write_bytes(os.urandom(128))
    (folder / "slurm.conf").write_text(
        CONF.format(
            folder=folder, user=getpass.getuser(), ports=free_ports(3),
            host=socket.gethostname().split(".")[0],
        )
    )  # fmt: skip
    munged = ["munged", "--foreground", "--force", f"--key-file={folder}/key"]
    for option, name in {
        "socket": "munge.sock", "pid-file": "munged.pid", "log-file": "munged.log",
        "seed-file": "munged.seed",
    }.items():  # fmt: skip
        munged.append(f"--{option}={folder}/{name}")
    daemons = [
        munged,
        ["slurmctld", "-D", "-c"],
        *(["slurmd", "-D", "-N", node] for node in ("n1", "n2")),
    ]
    running: list[subprocess.Popen[bytes]] = []
    try:
        for number, command in enumerate(daemons):
            with (folder / f"{number}.said").open("wb") as said:
                running.append(
                    subprocess.Popen(
                        command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=folder
                    )
                )
            if number == 0:
                wait_for_file(folder / "munge.sock", 10)
        yield running
    finally:
        subprocess.run(["scancel", "--user", getpass.getuser()], capture_output=True, timeout=20)
        time.sleep(1)
        for process in reversed(running):
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def slurm() -> Iterator[None]:
    """A Slurm of two nodes, both of which are this machine."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # where daemons lie, for whom that is not
    lacking = [command for command in NEEDED if shutil.which(command) is None]
    if lacking:
        pytest.skip(f"no Slurm here: {lacking[0]} is not installed (slurm-wlm, munge)")
    # the path of a socket is short
    folder = Path(subprocess.check_output(["mktemp", "-d", "-t", "slurmXXXX"], text=True).strip())
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    daemons = run_slurm(folder)
    try:
        running = next(daemons)
        until = time.monotonic() + 30
        while True:
            done = subprocess.run(["sinfo", "-h", "-N", "-o", "%T"], capture_output=True, text=True)
            if done.stdout.split() == ["idle", "idle"]:
                break
            if time.monotonic() > until or any(p.poll() is not None for p in running):
                words = [p.read_text()[-500:] for p in sorted(folder.glob("*.said"))]
                pytest.fail(f"Slurm does not start: {done.stderr} {words}")
            time.sleep(0.2)
        yield
    finally:
        daemons.close()
        del os.environ["SLURM_CONF"]
        shutil.rmtree(folder, ignore_errors=True)


def hurry(since: dict[str, float]) -> None:
    """Start those jobs soon that Slurm holds back for two minutes, for they ran before.

    Not at once: it waits for nodes to be done with the job's first run, and on a busy machine one
    that was started at once has ended by itself.

    Args:
        since: when each was first seen to be held back; it is kept here.
    """
    waiting = ["squeue", "--noheader", "--states=PENDING", "--format=%i %r"]
    for line in subprocess.check_output(waiting, text=True).splitlines():
        job, reason = line.split(maxsplit=1)
        if reason == "BeginTime" and time.monotonic() > since.setdefault(job, time.monotonic()) + 3:
            subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True)


def test_slurm_trains_what_one_process_trains_though_one_job_is_killed(
    slurm: None, tmp_path: Path, data: Path
):
    inline = tmp_path / "inline"
    for folder in (tmp_path, inline):
        write_suite(folder, data, tiny("one"))
    options = ["--executor", "slurm", "--seeds", "0,1", *TRAIN]
    with started(tmp_path, *options, variables={"TINY_SLEEP_losses": "0.2"}) as run:
        wait_for_worker(run, tmp_path, "one", 1).kill()
        said = finish(run, tmp_path)
    assert said.count("it is started again") == 1
    assert "one seed 1 train: its process was ended by SIGKILL; it is started again" in said
    assert ends(tmp_path) == {"one/0/train": "ok", "one/1/train": "ok"}
    with started(inline, "--seeds", "0,1", *TRAIN) as run:
        finish(run, inline)
    assert_equal_weights(tmp_path, inline)


def test_a_training_continues_in_the_next_job_when_its_time_is_up(
    slurm: None, tmp_path: Path, data: Path
):
    write_suite(tmp_path, data, tiny("one"))
    cell = tmp_path / "results/tiny/s/cells/one/seed0"
    slow = f"[ -e {cell}/state.pt ] || export TINY_SLEEP_losses=6"  # longer than a minute
    options = [
        "--executor", "slurm", *TRAIN, "--set", f"executor.setup={json.dumps([slow])}",
        "--set", "executor.time=1", "--set", "executor.save_seconds=1",
    ]  # fmt: skip
    since: dict[str, float] = {}
    with started(tmp_path, *options) as run:
        while run.poll() is None:
            hurry(since)
            time.sleep(0.5)
        said = finish(run, tmp_path)
    assert "again" not in said, said
    assert ends(tmp_path) == {"one/0/train": "ok"}
    [job] = (cell / "logs/slurm").glob("*/")
    assert "Caught signal SIGUSR2" in next(job.glob("*.err")).read_text()
    log = (cell / "logs/train.log").read_text()
    assert f"of {STEPS}; --resume continues there" in log
    assert log.endswith("[1/1] one seed 0 train: ok\n")


def test_a_job_of_slurm_ends_as_slurm_says(slurm: None, tmp_path: Path):
    executor = make_executor(jobs=2)
    [first, second] = (tmp_path / "first", tmp_path / "second")
    first.mkdir()
    second.mkdir()
    patient = "trap 'echo saved; exit 5' TERM; touch started; while :; do sleep 0.1; done"
    timed = executor.start(make_task(first, "sh", "-c", "nproc > cores; exit 3", alone=True))
    shown = subprocess.check_output(["scontrol", "show", "job", timed.job.job_id], text=True)
    assert "OverSubscribe=NO" in shown
    assert "Requeue=1" in shown
    assert outcome(timed) == "ended with exit code 3"

    running = executor.start(make_task(first, "sh", "-c", patient))
    wait_for_file(first / "started")
    assert running.poll() is None
    running.stop()
    assert outcome(running) == "ended with exit code 5"
    assert (first / "one.log").read_text().endswith("saved\n")  # the shell may add a line

    running = executor.start(make_task(second, "sh", "-c", patient))
    wait_for_file(second / "started")
    running.kill()  # Slurm sends SIGTERM first, which the command may be quick to heed
    cancelled = f"ended as CANCELLED in job {running.job.job_id}"
    assert outcome(running) in (cancelled, "ended with exit code 5")

    never = make_executor(extra={"begin": "now+1hour"}).start(make_task(second, "true"))
    assert never.poll() is None
    never.stop()
    assert outcome(never) == f"ended as CANCELLED in job {never.job.job_id}"

    refused = make_executor(partition="nowhere").start(make_task(second, "true"))
    assert outcome(refused).startswith("was not submitted: sbatch: error: invalid partition")
