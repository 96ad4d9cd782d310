"""Programs of a private root, run with its own loader."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from vmcoredd.debs import Unavailable, command, inside, settle


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("usr/bin", "usr/lib64"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "lib64").symlink_to("/usr/lib64")
    return tmp_path


def add_program(root: Path, name: str) -> None:
    """Copies a program of this machine with only the libraries it needs."""
    program = Path(shutil.which(name) or name)
    shutil.copy(program, root / "usr/bin" / name)
    needed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"(/\S+)", needed):
        shutil.copy(library, root / "usr/lib64" / Path(library).name)


def test_a_program_runs_with_the_roots_loader_and_libraries(root: Path) -> None:
    add_program(root, "true")
    prefix = command(root, "usr/bin/true")
    assert prefix[0].startswith(str(root))
    assert subprocess.run(prefix, env={}, check=False).returncode == 0


def test_arguments_follow_the_command(root: Path) -> None:
    add_program(root, "echo")
    done = subprocess.run(
        [*command(root, "bin/echo"), "one", "two"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "one two\n"


def test_a_missing_program_is_an_error(root: Path) -> None:
    with pytest.raises(Unavailable, match=r"usr/bin/none"):
        command(root, "usr/bin/none")


def test_a_program_without_its_loader_is_an_error(root: Path) -> None:
    add_program(root, "true")
    shutil.rmtree(root / "usr/lib64")
    with pytest.raises(Unavailable, match=r"ld-linux"):
        command(root, "usr/bin/true")


@pytest.mark.parametrize("content", [b"#!/bin/sh\n", b"", b"\x7fELF\x01" + bytes(100)])
def test_a_file_that_is_not_an_elf64_program_is_an_error(root: Path, content: bytes) -> None:
    (root / "usr/bin/script").write_bytes(content)
    with pytest.raises(Unavailable, match=r"not a 64-bit ELF"):
        command(root, "usr/bin/script")


def test_absolute_links_stay_inside_the_root(root: Path) -> None:
    (root / "usr/lib64/file").write_text("")
    assert inside(root, "/lib64/file") == root / "usr/lib64/file"


def test_links_cannot_climb_out_of_the_root(root: Path) -> None:
    (root / "usr/bin/up").symlink_to("../../../../../../usr/bin")
    assert inside(root, "usr/bin/up") == root / "usr/bin"


def test_circular_links_are_an_error(root: Path) -> None:
    (root / "usr/bin/one").symlink_to("other")
    (root / "usr/bin/other").symlink_to("one")
    with pytest.raises(Unavailable):
        inside(root, "usr/bin/one")


def test_subfolders_with_libraries_are_searched(root: Path) -> None:
    add_program(root, "true")
    (root / "usr/lib64/blas").mkdir()
    (root / "usr/lib64/blas/libblas.so.3").write_text("")
    (root / "usr/lib64/perl").mkdir()
    path = command(root, "usr/bin/true")[2].split(":")
    assert [os.path.basename(folder) for folder in path] == ["usr/lib64"[4:], "blas"]


@pytest.mark.interop
def test_a_settled_program_runs_by_itself_where_its_root_was_moved(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    add_program(root, "true")
    (root / "usr/bin/script").write_text("#!/bin/sh\n")
    (root / "usr/bin/linked").symlink_to("true")
    before = (root / "usr/bin/true").read_bytes()
    os.link(root / "usr/bin/true", root / "usr/true")
    place = tmp_path_factory.mktemp("place") / "root"
    settle(root, place, ["usr/bin/*", "usr/lib64/*"])
    root.rename(place)
    said = subprocess.run(["ldd", place / "usr/bin/true"], capture_output=True, text=True).stdout
    assert f"libc.so.6 => {place}/usr/lib64/libc.so.6 " in said
    assert subprocess.run([place / "usr/bin/true"], env={}, check=False).returncode == 0
    assert (place / "usr/bin/script").read_text() == "#!/bin/sh\n"
    assert (place / "usr/true").read_bytes() == before
