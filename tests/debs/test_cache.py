"""Folders of the cache are complete or absent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from pathlib import Path

import pytest

from vmcoredd.debs import build_once, cache_dir


def test_the_cache_is_in_xdg_cache_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "vmcoredd"


def test_the_cache_is_in_the_home_folder_by_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache/vmcoredd"


def fill(work: Path, _lock: int) -> None:
    (work / "result" / "file").write_text("whole")


def test_a_folder_is_built_once(tmp_path: Path) -> None:
    built = []

    def build(work: Path, lock: int) -> None:
        built.append(work)
        fill(work, lock)

    for _ in range(2):
        assert (build_once(tmp_path / "folder", build) / "file").read_text() == "whole"
    assert len(built) == 1


def test_only_the_folder_and_its_lock_remain(tmp_path: Path) -> None:
    build_once(tmp_path / "folder", fill)
    assert sorted(os.listdir(tmp_path)) == [".folder.lock", "folder"]


def test_a_failed_build_leaves_no_folder(tmp_path: Path) -> None:
    def fail(work: Path, _lock: int) -> None:
        (work / "result" / "half").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match=r"disk full"):
        build_once(tmp_path / "folder", fail)
    assert not (tmp_path / "folder").exists()
    assert os.listdir(build_once(tmp_path / "folder", fill)) == ["file"]


def test_the_next_build_can_use_what_a_failed_one_downloaded(tmp_path: Path) -> None:
    def fail(work: Path, _lock: int) -> None:
        (work / "download").write_text("fetched")
        raise OSError("no network")

    def resume(work: Path, lock: int) -> None:
        assert (work / "download").read_text() == "fetched"
        fill(work, lock)

    with pytest.raises(OSError, match=r"no network"):
        build_once(tmp_path / "folder", fail)
    build_once(tmp_path / "folder", resume)


def die_half_way(folder: Path) -> None:
    def build(work: Path, _lock: int) -> None:
        (work / "result" / "half").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)

    build_once(folder, build)


def test_a_killed_build_leaves_no_folder_and_no_lock(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=die_half_way, args=(tmp_path / "folder",)
    )
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "folder").exists()
    assert os.listdir(build_once(tmp_path / "folder", fill)) == ["file"]


def test_two_threads_that_request_a_folder_build_it_once(tmp_path: Path) -> None:
    building, waiting = threading.Event(), threading.Event()
    built, reported = [], []

    def build(work: Path, lock: int) -> None:
        built.append(work)
        building.set()
        assert waiting.wait(10)
        fill(work, lock)

    def progress(what: str, _fraction: float | None) -> None:
        reported.append(what)
        waiting.set()

    first = threading.Thread(target=build_once, args=(tmp_path / "folder", build))
    first.start()
    assert building.wait(10)
    assert (build_once(tmp_path / "folder", build, progress) / "file").exists()
    first.join()
    assert len(built) == 1
    assert "waiting for another process" in reported[0]
