"""Where libvfio-user comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmcoredd.debs import Unavailable, libvfio_user


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIBVFIO_USER_PREFIX", str(tmp_path))
    (tmp_path / "include").mkdir()
    (tmp_path / "include/libvfio-user.h").write_text("")
    return tmp_path


@pytest.mark.parametrize("folder", ["lib", "lib64", "lib/x86_64-linux-gnu"])
def test_a_prefix_that_is_named_is_taken(prefix: Path, folder: str) -> None:
    (prefix / folder).mkdir(parents=True)
    (prefix / folder / "libvfio-user.a").write_text("")
    library = libvfio_user.obtain()
    assert library.archives[0] == prefix / folder / "libvfio-user.a"
    assert library.include_dirs[0] == prefix / "include"
    assert library.origin == str(prefix)


def test_a_prefix_without_a_static_library_is_an_error(prefix: Path) -> None:
    (prefix / "lib").mkdir()
    (prefix / "lib/libvfio-user.so").write_text("")
    with pytest.raises(Unavailable, match=r"no static library") as caught:
        libvfio_user.obtain()
    assert "LIBVFIO_USER_PREFIX" in caught.value.remedy


def test_a_prefix_has_no_samples(prefix: Path) -> None:
    (prefix / "lib").mkdir()
    (prefix / "lib/libvfio-user.a").write_text("")
    with pytest.raises(Unavailable, match=r"no source"):
        libvfio_user.sample(libvfio_user.obtain(), "server")


def test_a_compiler_that_is_not_there_is_an_error(
    prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (prefix / "lib").mkdir()
    (prefix / "lib/libvfio-user.a").write_text("")
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(Unavailable, match=r"no-such-compiler"):
        libvfio_user.obtain()
