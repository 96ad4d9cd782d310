"""The serial flash behind SF_DATA and SF_OP (t4_hw.c: sf1_write(), sf1_read(), t4_read_flash())."""

from __future__ import annotations

import errno

from vmcoredd.chip import Chip
from vmcoredd.chip.flash import POLL_DELAY_US, POLLS, Opcode
from vmcoredd.chip.layout import u32s
from vmcoredd.hw.errors import DeviceError
from vmcoredd.hw.io import Check, Io, Op, Poll, Read, Write


class Flash:
    """The flash of an adapter.

    Every method raises DeviceError -EBUSY if an operation is already running, and -EAGAIN if one
    does not end within POLLS reads of the busy bit.
    """

    def __init__(self, io: Io, chip: Chip) -> None:
        self._io, self._data, self._op = io, chip.r.SF_DATA, chip.r.SF_OP

    def identify(self) -> int:
        """Returns manufacturer [7:0], type [15:8] and density [23:16] (t4_get_flash_params())."""
        try:
            self._shift_out(1, Opcode.READ_ID, cont=True)
            return self._shift_in(3, lock=True)
        finally:
            self._unlock()

    def read_word(self, address: int, size: int) -> int:
        """Returns the big-endian word at `address` of a flash of `size` bytes (t4_read_flash()).

        Raises DeviceError -EINVAL if the address is beyond the end or no multiple of 4.
        """
        if address + 4 > size or address % 4:
            raise DeviceError(-errno.EINVAL, f"flash address {address:#x}")
        command = int.from_bytes(address.to_bytes(4, "big"), "little") | Opcode.READ_DATA_FAST
        self._shift_out(4, command, cont=True)
        self._shift_in(1, cont=True)
        try:
            return self._shift_in(4, lock=True)
        finally:
            self._unlock()

    def _shift_out(self, count: int, value: int, *, cont: bool = False) -> None:
        op = self._op.of(ByteCnt=count - 1, Cont=cont, Op=1)
        self._run([Write(self._data, value), Write(self._op, op)], [])

    def _shift_in(self, count: int, *, cont: bool = False, lock: bool = False) -> int:
        op = self._op.of(ByteCnt=count - 1, Cont=cont, Lock=lock)
        return self._run([Write(self._op, op)], [Read(self._data)])[0]

    def _run(self, start: list[Op], end: list[Op]) -> tuple[int, ...]:
        busy = self._op.mask("Busy")
        idle = Check(self._op, busy, 0, error=-errno.EBUSY)
        done = Poll(self._op, busy, 0, attempts=POLLS, delay_us=POLL_DELAY_US)
        return u32s(self._io.run([idle, *start, done, *end]))

    def _unlock(self) -> None:
        self._io.write(self._op, 0)
