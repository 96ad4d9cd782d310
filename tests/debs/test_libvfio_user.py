"""The sources of libvfio-user."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmcoredd.debs import Unavailable, cache_dir, libvfio_user
from vmcoredd.debs.install import header
from vmcoredd.debs.packages import MANIFEST


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for a source tree. Compiled files go to the test's cache."""
    packages = cache_dir() / "debs"  # json-c, unless the system has it
    packages.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache/vmcoredd").mkdir(parents=True)
    (tmp_path / "cache/vmcoredd/debs").symlink_to(packages)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tree = tmp_path / "tree"
    tree.mkdir()
    monkeypatch.setenv("LIBVFIO_USER_PREFIX", str(tree))
    return tree


def make_tree(folder: Path) -> None:
    """The smallest source tree: one function."""
    for name in ("include", "lib"):
        (folder / name).mkdir()
    (folder / "meson.build").write_text("project('libvfio-user', 'c', version: '1.2.3')\n")
    (folder / "include/libvfio-user.h").write_text("int vfu(void);\n")
    (folder / "lib/tran.h").write_text("")
    (folder / "lib/vfu.c").write_text('#include "libvfio-user.h"\nint vfu(void) { return 1; }\n')


def test_a_named_source_tree_is_compiled(prefix: Path) -> None:
    make_tree(prefix)
    library = libvfio_user.obtain()
    assert library.archives[0].name == "libvfio-user.a"
    assert library.archives[0].exists()
    assert library.include_dirs[0] == prefix / "include"
    assert (library.lib / "tran.h").exists()
    assert library.lib in library.private_include_dirs
    assert (library.version, library.origin) == ("1.2.3", str(prefix))


def test_a_copy_of_what_debian_has_keeps_its_name(prefix: Path) -> None:
    """As in our own Debian source package, whose build may name no folder."""
    tree = prefix / libvfio_user.FOLDER
    tree.mkdir(parents=True)
    make_tree(tree)
    (prefix / libvfio_user.WRAP).write_text("revision = 0123456789abcdef\n")
    (prefix / MANIFEST).write_text('{"qemu": "1:10.0"}')
    library = libvfio_user.obtain()
    assert library.source == tree
    assert (library.version, library.origin) == ("1.2.3 (0123456789ab)", "Debian qemu 1:10.0")


def test_the_compiler_gets_the_flags_of_the_environment(
    prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(prefix)
    before = libvfio_user.obtain().archives[0].read_bytes()
    assert b"renamed" not in before
    monkeypatch.setenv("CPPFLAGS", "-Dvfu=renamed")
    assert b"renamed" in libvfio_user.obtain().archives[0].read_bytes()


def test_json_c_is_linked_as_told(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(prefix)
    assert libvfio_user.obtain().archives[1].name == "libjson-c.a"
    monkeypatch.setenv("LIBVFIO_USER_JSON_C", "shared")
    if header("json-c/json.h")():
        assert libvfio_user.obtain().archives[1].name == "libjson-c.so"
        return
    with pytest.raises(Unavailable, match="apt-get install libjson-c-dev"):
        libvfio_user.obtain()


def test_a_source_tree_that_changes_is_compiled_again(prefix: Path) -> None:
    make_tree(prefix)
    before = libvfio_user.obtain().archives[0]
    assert libvfio_user.obtain().archives[0] == before
    (prefix / "lib/vfu.c").write_text("int vfu(void) { return 2; }\n")
    assert libvfio_user.obtain().archives[0] != before


def test_the_library_is_compiled_for_more_dma_regions(prefix: Path) -> None:
    make_tree(prefix)
    (prefix / "lib/private.h").write_text("#define A 1\n#define MAX_DMA_REGIONS 16\n")
    library = libvfio_user.obtain()
    assert library.lib != prefix / "lib"
    built = (library.lib / "private.h").read_text()
    assert built == f"#define A 1\n#define MAX_DMA_REGIONS {libvfio_user.DMA_REGIONS}\n"
    assert "16" in (prefix / "lib/private.h").read_text()


def test_another_number_of_dma_regions_is_another_build(
    prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(prefix)
    before = libvfio_user.obtain().archives[0]
    monkeypatch.setattr(libvfio_user, "DMA_REGIONS", libvfio_user.DMA_REGIONS + 1)
    assert libvfio_user.obtain().archives[0] != before


def test_a_number_of_dma_regions_that_is_not_found_is_an_error(prefix: Path) -> None:
    make_tree(prefix)
    (prefix / "lib/private.h").write_text("enum { MAX_DMA_REGIONS = 16 };\n")
    with pytest.raises(Unavailable, match=r"no #define of MAX_DMA_REGIONS"):
        libvfio_user.obtain()


def test_an_installed_library_is_not_enough(prefix: Path) -> None:
    (prefix / "include").mkdir()
    (prefix / "include/libvfio-user.h").write_text("")
    (prefix / "lib").mkdir()
    (prefix / "lib/libvfio-user.a").write_text("")
    with pytest.raises(Unavailable, match=r"no lib/tran.h") as caught:
        libvfio_user.obtain()
    assert "LIBVFIO_USER_PREFIX to a source tree" in caught.value.remedy
    assert "installed library is not enough" in caught.value.remedy


def test_a_missing_compiler_is_an_error(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(prefix)
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(Unavailable, match=r"no-such-compiler"):
        libvfio_user.obtain()
