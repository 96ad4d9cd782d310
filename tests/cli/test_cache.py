"""`vmcoredd cache`."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest
from cliruns import Run, one_line

from vmcoredd.cli.exit_codes import Exit


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's folder in a user's cache, with two entries."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = tmp_path / "vmcoredd"
    (made / "debs" / "deep").mkdir(parents=True)
    (made / "debs" / "deep" / "package").write_bytes(os.urandom(1 << 16))
    (made / "kernel").write_bytes(os.urandom(1 << 12))
    return made


def test_entries_are_listed_with_their_sizes(vmcoredd: Run, folder: Path) -> None:
    record = vmcoredd("cache", "list", "--json").json
    sizes = {entry["name"]: entry["size_bytes"] for entry in record["entries"]}
    assert record["folder"] == str(folder)
    assert sizes.keys() == {"debs", "kernel"}
    assert 1 << 16 <= sizes["debs"] < 1 << 17
    shown = vmcoredd("cache", "list").out
    assert "kernel" in shown
    assert "in total" in shown


def test_a_cache_in_which_another_process_works_is_listed(vmcoredd: Run, folder: Path) -> None:
    work, done = folder / ".work", threading.Event()

    def build() -> None:
        while not done.is_set():
            for number in range(100):
                (work / str(number)).mkdir(parents=True)
                (work / str(number) / "file").write_bytes(b"built")
            shutil.rmtree(work)

    builder = threading.Thread(target=build)
    builder.start()
    try:
        for _ in range(20):
            assert vmcoredd("cache", "list", "--json").code == Exit.OK
    finally:
        done.set()
        builder.join()


def test_clearing_removes_the_entries_and_nothing_else(vmcoredd: Run, folder: Path) -> None:
    other = folder.with_name("other")
    other.write_text("precious")
    result = vmcoredd("cache", "clear")
    assert result.code == Exit.OK
    assert f"in {folder}" in result.out
    assert list(folder.parent.iterdir()) == [other]


def test_an_empty_cache_is_listed_and_cleared(
    vmcoredd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    assert vmcoredd("cache", "list", "--json").json["entries"] == []
    assert vmcoredd("cache", "clear").out.startswith("freed 0 B")


def test_a_cache_that_cannot_be_removed_is_reported(vmcoredd: Run, folder: Path) -> None:
    """A symbolic link in place of the folder: not even root can remove its entries."""
    other = folder.with_name("elsewhere")
    folder.rename(other)
    folder.symlink_to(other)
    result = vmcoredd("cache", "clear")
    assert result.code == Exit.FAILED
    assert "symbolic link" in one_line(result)
    assert (other / "kernel").exists()
