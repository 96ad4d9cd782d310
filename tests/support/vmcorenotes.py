"""The notes in a vmcore, as read by our reader and by pyelftools."""

from __future__ import annotations

from pathlib import Path

from elftools.elf.elffile import ELFFile

from vmcoredd import cudbg, vmcore

FIRST, SECOND = "cxgb4_0000:00:02.0", "cxgb4_0000:00:03.0"
NOTE_BYTES = 0x02000FEC


def dumps(path: Path) -> dict[str, cudbg.Dump]:
    with vmcore.Reader(path) as reader:
        return {
            note.name: cudbg.Dump(bytes(reader.payload(note.index))) for note in reader.device_dumps
        }


def notes(path: Path) -> list[tuple[str, int, int]]:
    """Owner, type and size of each note, as pyelftools sees them."""
    with path.open("rb") as file:
        segments = ELFFile(file).iter_segments("PT_NOTE")
        found = [note for segment in segments for note in segment.iter_notes()]
    return [(note["n_name"], note["n_type"], note["n_descsz"]) for note in found]
