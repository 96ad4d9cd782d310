"""Files with the notes of a vmcore and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from vmcore_files import Elf, Load, dump_note, flattened, kdump, prstatus, vmcoreinfo

from vmcoredd import vmcore

NOTES = dump_note(b"cxgb4_a", bytes(5000)) + prstatus() + vmcoreinfo()


ELF = bytes(Elf([NOTES], [Load(0x1000, b"memory" * 1000)]))
HALF = ELF.index(b"VMCOREINFO") + 4
"""Within a note: the parts are in the other order in the flattened file."""
FILES = {
    "elf": ELF,
    "kdump": kdump(NOTES),
    "flattened": flattened([(HALF, ELF[HALF:]), (0, ELF[:HALF])]),
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_only_notes_are_written_and_payloads_may_be_others(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "in").write_bytes(data)
    with vmcore.Reader(tmp_path / "in") as reader:
        vmcore.write_notes(tmp_path / "out", reader, {0: vmcore.memory_of(b"short")})
    with vmcore.Reader(tmp_path / "out") as reader:
        assert (reader.format, reader.damage) == ("elf", ())
        assert bytes(reader.payload(0)) == b"short"
        assert [note.owner for note in reader.notes] == ["LINUX", "CORE", "VMCOREINFO"]
        assert bytes(reader.payload(2)) == b"OSRELEASE=6.1.0\n"
    assert b"memory" not in (tmp_path / "out").read_bytes()
