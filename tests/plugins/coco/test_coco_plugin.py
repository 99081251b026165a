"""The data set `coco`, as a manifest names it."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.data.folder import CocoFolder
from harness.errors import UserError
from harness_plugins import coco


def test_declaration_builds_a_folder(tmp_path: Path) -> None:
    (declaration,) = coco.harness_datasets()
    source = declaration.load()(**declaration.params(root=str(tmp_path)).model_dump())
    assert isinstance(source, CocoFolder)
    assert source.root == tmp_path
    with pytest.raises(UserError, match="no data set in a known layout"):
        source.fingerprint()


@pytest.mark.parametrize("params", [{}, {"root": ""}, {"root": "x", "path": "y"}])
def test_wrong_params(params: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        coco.CocoParams(**params)


@pytest.mark.parametrize("name", ["coco", "synthetic"])
def test_no_torch_at_import_or_load(name: str) -> None:
    code = (
        f"import sys, harness_plugins.{name} as p; p.harness_datasets()[0].load(); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
