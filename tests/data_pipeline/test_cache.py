"""Folders that are made once: whole or not at all, by one process or by several."""

import os
from pathlib import Path

import pytest

from harness.data.cache import cache_folder, keep_compiled_kernels, make_folder
from harness.errors import UserError


def fill(folder: Path) -> None:
    folder.mkdir()
    (folder / "done").write_text("yes")


def complete(folder: Path) -> bool:
    return (folder / "done").is_file()


def test_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HARNESS_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "harness"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "harness"
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_compiled_kernels_have_a_place_unless_the_user_names_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "mine")
    keep_compiled_kernels()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "mine"
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    keep_compiled_kernels()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "compiled")


def test_made_once_and_again_when_incomplete(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    make_folder(folder, fill, complete)
    make_folder(folder, lambda _: pytest.fail("made twice"), complete)
    (folder / "done").unlink()
    (folder / "left over").write_text("x")
    make_folder(folder, fill, complete)
    assert [path.name for path in folder.iterdir()] == ["done"]
    assert [path.name for path in folder.parent.iterdir()] == ["data"], "no drafts are left"


def test_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    def stop(folder: Path) -> None:
        folder.mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_folder(tmp_path / "data", stop, complete)
    assert not list(tmp_path.iterdir())


def test_the_first_of_two_wins(tmp_path: Path) -> None:
    def late(folder: Path) -> None:
        make_folder(tmp_path / "data", fill, complete)
        (tmp_path / "data" / "first").write_text("")
        fill(folder)

    make_folder(tmp_path / "data", late, complete)
    assert (tmp_path / "data" / "first").is_file()


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="set HARNESS_CACHE"):
        make_folder(tmp_path / "file" / "data", fill, complete)


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    def full(_: Path) -> None:
        with Path("/dev/full").open("w") as file:
            file.write("x")

    with pytest.raises(UserError, match="No space left"):
        make_folder(tmp_path / "data", full, complete)
    assert not list(tmp_path.iterdir())
