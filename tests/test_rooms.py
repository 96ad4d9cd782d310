"""The rules between the rooms: who may import whom."""

import ast
import subprocess
import sys
from collections.abc import Collection
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {
    "chip": set(),
    "debs": set(),
    "pyvfio_user": set(),
    "vmcore": set(),
    "hw": {"chip"},
    "cudbg": {"chip", "hw"},
    "trace": {"chip", "hw", "pyvfio_user"},
    "diagnosis": {"chip", "cudbg"},
    "emu": {"chip", "pyvfio_user", "trace"},
    "driver": {"chip", "cudbg", "hw", "pyvfio_user", "vmcore"},
    "qemu": {"chip", "cudbg", "debs", "driver", "emu", "hw", "pyvfio_user", "trace", "vmcore"},
}
"""What each room may import of ours, without `SHARED`."""
ALLOWED["fleet"] = {*ALLOWED}
ALLOWED["testing"] = {*ALLOWED} - {"diagnosis", "fleet"}
ALLOWED["bench"] = {*ALLOWED} - {"testing"}
ALLOWED["raised"] = {"chip", "cudbg", "driver", "emu", "hw"}
ALLOWED["cli"] = {*ALLOWED}
ROOMS = {*ALLOWED}
SHARED = {"plural"}
"""Modules beside the rooms: all may import them, but the separate distribution."""


def imports(path: Path) -> set[str]:
    """The rooms that a module imports, wherever in it the import stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("vmcoredd.").split(".")[0] for name in names if ours(name)}


def folder(room: str) -> Path:
    """Where the modules of a room are."""
    return ROOT / "pyvfio_user/src" if room == "pyvfio_user" else ROOT / room


def ours(name: str) -> bool:
    """Is that a module of this project?"""
    return name.startswith(("vmcoredd.", "pyvfio_user"))


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_what_stands_below_it(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {other}"
        for path in sorted(folder(room).rglob("*.py"))
        for other in imports(path) - ALLOWED[room] - shared_with(room) - {room}
    ]
    assert wrong == []


def shared_with(room: str) -> set[str]:
    """The shared modules that a room may import."""
    return set() if room == "pyvfio_user" else SHARED


def test_no_rooms_import_each_other_in_a_circle() -> None:
    assert set(TopologicalSorter(ALLOWED).static_order()) == ROOMS


def test_what_all_rooms_share_imports_none_of_them() -> None:
    paths = {path.stem: path for path in (ROOT / "vmcoredd").glob("*.py")}
    assert paths.keys() - {"__init__", "__main__"} == SHARED
    assert {name: imports(paths[name]) for name in SHARED} == {name: set() for name in SHARED}


def modules_of(room: str) -> dict[str, Path]:
    """The modules of a room by name; a package is the module of its `__init__.py`."""
    paths = sorted(folder(room).rglob("*.py"))
    base = folder(room) if room == "pyvfio_user" else ROOT
    prefix = "" if room == "pyvfio_user" else "vmcoredd."
    names = (".".join(path.relative_to(base).with_suffix("").parts) for path in paths)
    return {prefix + n.removesuffix(".__init__"): p for n, p in zip(names, paths, strict=True)}


def imported(path: Path, known: Collection[str]) -> set[str]:
    """The known modules that a module imports, wherever in it the import is."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in known else node.module for name in full}
    return names & set(known)


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_no_modules_of_a_room_import_each_other_in_a_circle(room: str) -> None:
    modules = modules_of(room)
    graph = {name: imported(path, modules) - {name} for name, path in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_the_firmware_knows_no_silicon() -> None:
    modules = modules_of("emu")
    wrong = {
        name: known
        for name, path in modules.items()
        if name.startswith("vmcoredd.emu.firmware")
        and (known := [m for m in imported(path, modules) if m.startswith("vmcoredd.emu.silicon")])
    }
    assert wrong == {}


@pytest.mark.parametrize("room", sorted(ROOMS - {"pyvfio_user", "qemu"}))
def test_a_room_has_one_name_even_where_its_folder_can_be_imported(room: str) -> None:
    done = python_at_the_root(f"import {room}")
    assert f"ImportError: import vmcoredd.{room}, not {room}" in done.stderr


def test_the_compiled_part_of_a_room_has_one_name() -> None:
    done = python_at_the_root("import emu._cffi")
    assert "ImportError: import vmcoredd.emu, not emu" in done.stderr


def test_the_guest_room_leaves_its_name_to_qemu_qmp() -> None:
    done = python_at_the_root("import qemu.qmp, vmcoredd.qemu.guest\nimport qemu.guest")
    assert "No module named 'qemu.guest'" in done.stderr


def python_at_the_root(code: str) -> subprocess.CompletedProcess[str]:
    """What Python says of `code` where the rooms' folders are."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_tests_with_guests_are_where_make_looks_for_them() -> None:
    """Collecting all tests for the few with guests would take as long as a guest's boot."""
    mark = "mark." + "guest"
    found = [p for p in (ROOT / "tests").rglob("*.py") if mark in p.read_text()]
    assert found
    assert {path.relative_to(ROOT).parts[:2] for path in found} == {("tests", "interop")}
    lines = [line for line in (ROOT / "Makefile").read_text().splitlines() if "-m guest" in line]
    assert lines
    assert all(line.endswith("-m guest tests/interop") for line in lines)
