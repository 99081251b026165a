"""Loads manifests given as text."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from manifest_text import MANIFEST

from harness.errors import UserError
from harness.manifest.suite import Manifest, load_manifest

Load = Callable[..., Manifest]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a manifest given as text, the one above by default."""

    def read(
        text: str = MANIFEST, profile: str | None = None, sets: Sequence[str] = ()
    ) -> Manifest:
        path = tmp_path / "m.yaml"
        path.write_text(text)
        return load_manifest(path, profile, sets)

    return read


@pytest.fixture
def complaint(load: Load, tmp_path: Path) -> Callable[..., str]:
    """The one line that a manifest is refused with; the file is called m.yaml in it."""

    def read(*args: object, **kwargs: object) -> str:
        with pytest.raises(UserError) as caught:
            load(*args, **kwargs)
        line = str(caught.value).replace(str(tmp_path / "m.yaml"), "m.yaml")
        assert "\n" not in line
        return line

    return read
