"""Fails when a test was skipped but for what a machine may lack, or none of a file was there.

Arguments after the report are those of pytest, which chose some of the tests: then files may be
left out.
"""

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

junit = ET.parse(sys.argv[1])
shared = Path(os.environ.get("HARNESS_DATA", Path(__file__).parents[2] / "shared" / "data"))
allowed = ["cuda", "GPU"]
if not shared.is_dir():
    allowed.append("shared")
if shutil.which(os.environ.get("CXX", "g++")) is None:
    allowed.append("compiler")
if shutil.which("slurmctld") is None:
    allowed.append("no Slurm here")
if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
    allowed.append("no disk can be mounted")
if shutil.which("nvcc") is None:
    allowed.append("nvcc")

cases = list(junit.iter("testcase"))
skipped = [(c, c.find("skipped")) for c in cases]
reasons = [
    (f"{c.get('classname')}::{c.get('name')}", s.get("message", ""))
    for c, s in skipped
    if s is not None and "benchmark" not in s.get("message", "")
]
wrong = [(name, why) for name, why in reasons if not any(word in why for word in allowed)]
for name, why in wrong:
    print(f"should have run: {name}: {why}")
root = Path(__file__).parents[1]
ran = {case.get(key) for case in cases for key in ("classname", "name")}
files = [path.relative_to(root) for path in sorted((root / "tests").rglob("test_*.py"))]
absent = [path for path in files if ".".join(path.with_suffix("").parts) not in ran]
for path in absent:
    print(f"no test of it ran: {path}")
print(f"{len(cases)} tests, {len(reasons)} skipped, {len(wrong)} of them wrongly")
sys.exit(1 if wrong or not cases or (absent and not sys.argv[2:]) else 0)
