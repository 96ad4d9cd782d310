"""A dump that is cut anywhere, in any container: what is left is shown, what is lost is said."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastlz_dumps
import pytest
from carddump import collected
from cliruns import Run
from vmcore_files import Elf, dump_note, flattened, kdump

from vmcoredd import cudbg
from vmcoredd.chip import T6
from vmcoredd.cli.exit_codes import Exit

NUMBERS = (27, 5, 31, 30, 60, 65)
"""Small entities, in an order that is not that of their data."""


def payload(kind: str) -> bytes:
    """A small dump."""
    dump = collected(T6, kind).dump if kind != "FastLZ" else collected(T6).dump
    names = [dump.names[number] for number in NUMBERS]
    if kind == "FastLZ":
        return fastlz_dumps.dump(
            {n: dump.raw(name) for n, name in zip(NUMBERS, names, strict=True)}
        )
    heads, data, at = {}, b"", 56 + 52 * 72
    for number, name in zip(NUMBERS, names, strict=True):
        packed = bytes(dump.packed(name))
        packed += bytes(-len(packed) % 4)
        pad = len(packed) - len(dump.packed(name))
        heads[number] = struct.pack("<IIIiIIB27x", number, at, len(packed), 0, 0, 0, pad)
        data, at = data + packed, at + len(packed)
    table = b"".join(heads.get(number, bytes(52)) for number in range(1, 73))
    return bytes(collected(T6, kind).data[:56]) + table + data


def in_elf(data: bytes) -> bytes:
    return bytes(Elf([dump_note(b"cxgb4_0", data)]))


def in_kdump(data: bytes) -> bytes:
    return kdump(dump_note(b"cxgb4_0", data))


def in_flattened(data: bytes) -> bytes:
    whole = in_elf(data)
    return flattened([(at, whole[at : at + 700]) for at in range(0, len(whole), 700)])


CONTAINERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "bare": ("none", bytes),
    "bare zlib": ("zlib", bytes),
    "FastLZ": ("FastLZ", bytes),
    "ELF": ("zlib", in_elf),
    "kdump": ("zlib", in_kdump),
    "flattened": ("none", in_flattened),
}
STEPS = 3
"""Cuts of each container."""


def read(data: bytes) -> dict[str, object]:
    """What is left of the entities of a bare dump, decoded or the error."""
    dump, found = cudbg.Dump(data), {}
    for entity in dump.entities:
        try:
            found[entity.name] = dump.decode(entity.name).json()
        except cudbg.DumpFormatError as error:
            found[entity.name] = str(error)
    return found


@pytest.mark.parametrize("kind", ["none", "zlib", "FastLZ"])
def test_wherever_a_dump_is_cut_the_entities_before_are_whole(kind: str) -> None:
    data = payload(kind)
    dump, whole = cudbg.Dump(data), read(data)
    for size in range(56, len(data), 97):
        cut, left = cudbg.Dump(data[:size]), read(data[:size])
        lost = dump.lost(size)
        assert set(left) == {entity.name for entity in cut.entities}
        for name, found in left.items():
            assert (found == whole[name]) == (name not in lost)
            assert (name in lost) == isinstance(found, str)
        assert cut.cut or set(left) == set(whole)


def decoded(record: dict[str, Any]) -> dict[str, Any]:
    """The entities that were decoded, by name."""
    return {e["name"]: e["decoded"] for e in record["entities"] if "decoded" in e}


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_dump_that_is_cut_gives_what_comes_before(
    vmcoredd: Run, tmp_path: Path, name: str
) -> None:
    kind, container = CONTAINERS[name]
    data = payload(kind)
    whole, path = container(data), tmp_path / "dump"
    path.write_bytes(whole)
    want = decoded(vmcoredd("show", path, "--entity", "all", "--json").json)
    assert len(want) == len(NUMBERS)
    start = whole.index(data[:8]) + len(data) // 4
    for size in range(start, len(whole) - 16, (len(whole) - start) // STEPS):
        path.write_bytes(whole[:size])
        shown = vmcoredd("show", path, "--entity", "all", "--json")
        assert "Traceback" not in shown.err
        if not shown.out:
            assert shown.code == Exit.BAD_FILE
            continue
        left = decoded(shown.json)
        lost = [e["name"] for e in shown.json["entities"] if e["damage"]]
        assert {n: d for n, d in left.items() if n not in lost} == {
            n: want[n] for n in left if n not in lost
        }
        assert all(left[n][0].get("text") == "in part" for n in lost if n in left)
        assert left.keys() | lost == {e["name"] for e in shown.json["entities"]}
        assert all(name in shown.err for name in lost)
        listed = vmcoredd("notes", path)
        if lost or len(left) < len(NUMBERS):
            assert (shown.code, listed.code) == (Exit.BAD_FILE, Exit.BAD_FILE)


def test_notes_says_which_entities_are_lost(vmcoredd: Run, tmp_path: Path) -> None:
    data = payload("none")
    dump = cudbg.Dump(data)
    last = max(dump.entities, key=lambda found: found.start)
    (tmp_path / "cut").write_bytes(data[: last.start + 1])
    result = vmcoredd("notes", tmp_path / "cut")
    need, have = len(data), last.start + 1
    words = f"note 0: need {need} bytes, have {have}: 1 entity is lost ({last.name})"
    assert (result.code, result.err.splitlines()[0]) == (Exit.BAD_FILE, f"damaged: {words}")
    (note,) = vmcoredd("notes", tmp_path / "cut", "--json").json["notes"]
    assert (note["good"], note["missing"]) == (len(NUMBERS) - 1, 1)


def test_notes_says_that_headers_are_lost(vmcoredd: Run, tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(payload("none")[:2000])
    result = vmcoredd("notes", tmp_path / "cut")
    assert result.code == Exit.BAD_FILE
    assert "damaged: note 0: headers: need 3800 bytes, have 2000" in result.err
