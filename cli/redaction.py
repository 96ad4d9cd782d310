"""The device dumps of a file with pseudonyms for the private values in them, for `slim --redact`
and `report --redact`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from vmcoredd.cli.foreign import is_foreign
from vmcoredd.cli.inputs import dump_of

if TYPE_CHECKING:
    from vmcoredd import cudbg, vmcore
    from vmcoredd.cudbg.left_out import Why
    from vmcoredd.cudbg.pseudonyms import Pseudonyms


class Redaction:
    """Pseudonyms for everything that one run writes: learnt from all dumps before the first is
    written."""

    def __init__(self) -> None:
        from vmcoredd.cudbg.pseudonyms import Pseudonyms

        self._names: Pseudonyms = Pseudonyms()

    def learn(
        self, reader: vmcore.Reader, notes: Iterable[vmcore.Note]
    ) -> dict[int, cudbg.DumpFormatError]:
        """Learns the private values of device dumps; returns why some cannot be cleaned, by the
        index of their notes."""
        return {note.index: reason for note in notes if (reason := self._refusal(reader, note))}

    def cleaned(self, dump: cudbg.Dump, without: Mapping[str, Why]) -> bytearray:
        """Returns a copy of a dump with pseudonyms."""
        from vmcoredd.cudbg.redact import redacted

        return redacted(dump, self._names, without)

    def cleaned_bytes(self, data: bytes) -> bytes:
        """Returns `data` with pseudonyms for the values that are known."""
        from vmcoredd.cudbg.redact import replace_copies

        return replace_copies(data, self._names)

    def _refusal(self, reader: vmcore.Reader, note: vmcore.Note) -> cudbg.DumpFormatError | None:
        from vmcoredd import cudbg
        from vmcoredd.cudbg.redact import learn

        if is_foreign(reader, note):
            reason = "another driver's device dump, whose private data cannot be found"
            return cudbg.UnknownFormat(reason)
        try:
            learn(dump_of(reader, note), self._names)
        except cudbg.DumpFormatError as error:
            return error
        return None
