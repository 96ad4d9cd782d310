"""The rules between the rooms: who may import whom, and where a generation may be asked for."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {
    "chip": set(),
    "debs": set(),
    "pyvfio_user": set(),
    "vmcore": set(),
    "cudbg": {"chip"},
    "emu": {"chip", "pyvfio_user"},
    "driver": {"chip", "cudbg", "pyvfio_user", "vmcore"},
    "qemu": {"chip", "cudbg", "debs", "driver", "emu", "pyvfio_user", "vmcore"},
}
"""What each room may import of ours; `cli` and `bench` stand on top and may import all."""
EXCEPTIONS = {
    ("driver/__init__.py", "emu"): "the type of what the in-process transport is given",
}
ROOMS = {*ALLOWED, "cli", "bench"}


def imports(path: Path) -> set[str]:
    """The rooms that a module imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
            if node.module == "qemu" or node.module.startswith("qemu.qmp"):
                found.discard("qemu")
    return found & ROOMS


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_what_stands_below_it(room: str) -> None:
    wrong = [
        f"{name} imports {other}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for other in imports(path) - ALLOWED[room] - {room}
        if ((name := str(path.relative_to(ROOT))), other) not in EXCEPTIONS
    ]
    assert wrong == []


def test_every_exception_is_still_needed() -> None:
    for name, other in EXCEPTIONS:
        assert other in imports(ROOT / name), f"{name} no longer imports {other}"


def test_the_guest_room_leaves_its_name_to_qemu_qmp() -> None:
    assert not (ROOT / "qemu" / "__init__.py").exists()


def test_no_code_asks_which_generation_a_chip_is() -> None:
    places = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for room in ("emu", "cudbg", "driver", "cli")
        for path in sorted((ROOT / room).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare)
        and any(
            (isinstance(side, ast.Name) and side.id in ("T5", "T6"))
            or (
                isinstance(side, ast.Attribute)
                and side.attr == "version"
                and "chip" in ast.dump(side)
            )
            for side in (node.left, *node.comparators)
        )
    ]
    assert places == [], "a difference between the chips is data in chip/"
