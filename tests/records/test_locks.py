"""One process at a time holds a lock, and nobody once it is gone, however it went."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.records import locks
from harness.records.locks import is_held, locked

WHAT = "the cell a/seed0/train"
START = """
import os, sys
from pathlib import Path
from harness.errors import UserError
from harness.records.locks import is_held, locked

path, what, wait = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "wait"
print("ready", flush=True)
"""
# Each line that it reads is an order; the lock is held until the next one.
HOLDS = """
while sys.stdin.readline():
    try:
        with locked(path, what, wait=wait):
            print("held", flush=True)
            sys.stdin.readline()
        print("released", flush=True)
    except UserError as error:
        print(error, flush=True)
        sys.stdin.readline()
        print("released", flush=True)
"""


class Other:
    """Another process that takes the lock when it is told to."""

    def __init__(self, path: Path, script: str = HOLDS, how: str = "at once") -> None:
        command = [sys.executable, "-c", START + script, str(path), WHAT, how]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self.hear() == "ready"

    def tell(self) -> None:
        """To take it, or to give it back."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self) -> str:
        self.tell()
        return self.hear()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cells" / "train.lock"


@pytest.fixture
def others(path: Path) -> Iterator[list[Other]]:
    """Two processes; they and those that a test adds end with it."""
    made = [Other(path), Other(path)]
    yield made
    for other in made:
        other.kill()


def named(pid: int) -> str:
    return f"{WHAT} is being worked on by process {pid} on {socket.gethostname()} (wait for it"


def test_a_second_process_is_told_who_holds_it(path: Path, others: list[Other]):
    first, second = others
    assert first.ask() == "held"
    assert named(first.process.pid) in second.ask()
    with pytest.raises(UserError) as caught, locked(path, WHAT):
        pass
    assert named(first.process.pid) in str(caught.value)
    assert first.ask() == "released"
    second.ask()
    assert second.ask() == "held"
    assert named(second.process.pid) in first.ask()


def test_the_file_is_there_while_it_is_held(path: Path, others: list[Other]):
    first, _ = others
    assert not path.exists()
    assert not is_held(path)
    first.ask()
    assert path.exists()
    assert is_held(path)
    first.ask()
    assert not path.exists()
    assert not is_held(path)


def test_an_error_inside_gives_it_back(path: Path):
    with pytest.raises(ZeroDivisionError), locked(path, WHAT):
        1 / 0  # noqa: B018
    assert not path.exists()
    with locked(path, WHAT):
        assert is_held(path)


def test_a_killed_holder_holds_it_no_longer(path: Path, others: list[Other]):
    first, second = others
    assert first.ask() == "held"
    first.kill()
    assert path.exists(), "nobody was left to remove it"
    assert not is_held(path)
    assert second.ask() == "held"
    with pytest.raises(UserError, match=f"process {second.process.pid} on"), locked(path, WHAT):
        pass
    assert second.ask() == "released"
    assert not path.exists()


@pytest.mark.parametrize("end", ["released", "killed"])
def test_who_waits_gets_it_when_it_is_free(path: Path, others: list[Other], end: str):
    first, _ = others
    assert first.ask() == "held"
    waiting = Other(path, how="wait")
    others.append(waiting)
    said: list[str] = []
    listener = threading.Thread(target=lambda: said.append(waiting.ask()))
    listener.start()
    listener.join(0.5)
    assert said == []
    if end == "killed":
        first.kill()
    else:
        assert first.ask() == "released"
    listener.join(30)
    assert said == ["held"]
    assert is_held(path)
    assert waiting.ask() == "released"
    assert not path.exists()


def test_of_two_that_race_for_it_one_gets_it(path: Path, others: list[Other]):
    for _ in range(50):
        for other in others:
            other.tell()
        said = [other.hear() for other in others]
        assert said.count("held") == 1, said
        assert [other.ask() for other in others] == ["released"] * 2
        assert not path.exists()


IN_TURN = """
sys.stdin.readline()
mark = path.with_name("somebody is here")
for turn in range(50):
    with locked(path, what, wait=True):
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        mark.unlink()
print("done", flush=True)
"""


def test_two_that_wait_for_it_again_and_again_never_both_hold_it(path: Path, others: list[Other]):
    both = [Other(path, IN_TURN), Other(path, IN_TURN)]
    others += both
    for one in both:
        one.tell()
    assert [one.hear() for one in both] == ["done"] * 2
    for one in both:
        one.process.communicate(timeout=30)
    assert [one.process.returncode for one in both] == [0, 0]
    assert not path.exists()


LOOKS = """
parent = os.getppid()
while os.getppid() == parent:
    is_held(path)
"""


def test_looking_at_a_lock_keeps_nobody_from_it(path: Path):
    """As `harness watch` does, also at what a killed process left."""
    path.parent.mkdir()
    looking = Other(path, LOOKS)
    try:
        for turn in range(300):
            path.touch()
            with locked(path, f"turn {turn}"):
                assert is_held(path)
    finally:
        looking.kill()


def test_where_nothing_can_be_written_nothing_is_locked(tmp_path: Path):
    (tmp_path / "file").touch()
    lock = tmp_path / "file" / "a.lock"
    with pytest.raises(UserError, match=r"a\.lock: cannot be locked: "), locked(lock, WHAT):
        pass


def test_a_full_disk_leaves_no_lock_behind(path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    handles = len(list(Path("/proc/self/fd").iterdir()))
    with monkeypatch.context() as patch:
        patch.setattr(locks.os, "write", full)
        with pytest.raises(UserError, match="cannot be locked: No space"), locked(path, WHAT):
            pass
    assert not path.exists()
    assert len(list(Path("/proc/self/fd").iterdir())) == handles
    with locked(path, WHAT):
        assert is_held(path)
