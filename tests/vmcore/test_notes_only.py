"""Files with the notes of a vmcore and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from vmcore_files import Elf, Load, dump_note, kdump, prstatus, vmcoreinfo

from vmcoredd import vmcore

NOTES = dump_note(b"cxgb4_a", bytes(5000)) + prstatus() + vmcoreinfo()


@pytest.mark.parametrize(
    "data",
    [bytes(Elf([NOTES], [Load(0x1000, b"memory" * 1000)])), kdump(NOTES)],
    ids=["elf", "kdump"],
)
def test_only_notes_are_written_and_payloads_may_be_others(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "in").write_bytes(data)
    with vmcore.Reader(tmp_path / "in") as reader:
        vmcore.write_notes(tmp_path / "out", reader, {0: vmcore.memory_of(b"short")})
    with vmcore.Reader(tmp_path / "out") as reader:
        assert (reader.format, reader.damage) == ("elf", ())
        assert bytes(reader.payload(0)) == b"short"
        assert [note.owner for note in reader.notes] == ["LINUX", "CORE", "VMCOREINFO"]
    assert b"memory" not in (tmp_path / "out").read_bytes()
