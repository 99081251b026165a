"""Freed memory is kept: the next tensor meets no page faults."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
torch.set_num_threads(1)
if sys.argv[1] == "kept":
    from harness.run.memory import keep_freed_memory
    assert keep_freed_memory()
def count():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def allocate():
    torch.ones(48 * 2**18)  # 48 MiB, more than glibc ever keeps by itself
for _ in range(12):  # the heap takes some to come to rest
    allocate()
before = count()
for _ in range(4):
    allocate()
print(count() - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_the_next_tensor_takes_the_memory_of_the_last() -> None:
    assert faults("kept") * 4 < faults("returned")
