"""An `Io` that runs register programs in C, over any transport's `struct io`."""

from __future__ import annotations

import errno
from array import array
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NoReturn, cast

from vmcoredd.chip.pci import WHOAMI
from vmcoredd.driver._cffi import ffi, lib
from vmcoredd.hw.errors import AdapterGone, DeadDevice, DeviceError
from vmcoredd.hw.io import (
    Cell,
    Check,
    Counts,
    Each,
    Number,
    Op,
    Put,
    Read,
    Rows,
    Space,
    Write,
    kept_bytes,
)

_ALL_ONES = b"\xff" * 4
_LOWERED_MOST = 256
"""Programs that are kept lowered; a dump runs about 150."""


class EngineSpace:
    """Registers behind the `struct io` at address `io`; see `hw.io.Space`.

    `pipelined=False` waits for each read before the next access, as the kernel does; pipelined
    runs give the same bytes and counts. `owner` keeps the `struct io` alive.
    """

    def __init__(self, io: int, *, owner: object, pipelined: bool = True) -> None:
        self._engine = ffi.new("struct engine *")
        self._engine.io = ffi.cast("struct io *", io)
        self._engine.pipelined = pipelined
        self._owner = owner
        self._single = ffi.new("uint64_t *")
        self._all_ones = False  # the last value read

    def attach(self, io: int) -> None:
        """Goes on with another `struct io`, after the first one failed."""
        self._engine.io = ffi.cast("struct io *", io)
        self._engine.dead = self._engine.gone = 0
        self._all_ones = False

    def detach(self) -> None:
        """Lets every access fail, so that the `struct io` may be freed."""
        self._engine.dead = -errno.EIO

    @property
    def counts(self) -> Counts:
        """The accesses so far, as the kernel would have made them (a copy)."""
        counts = self._engine.counts
        return Counts(counts.r32, counts.w32, counts.r64, counts.w64, counts.timeouts)

    def read(self, offset: int, width: int = 4) -> int:
        """Returns a register of 4 or 8 bytes."""
        self._single[0] = 0
        if result := lib.engine_read(self._engine, offset, self._single, width, 1):
            self._raise(result, f"read of {offset:#x}")
        value = int(self._single[0])
        self._all_ones = value == (1 << 8 * width) - 1
        return value

    def write(self, offset: int, value: int, width: int = 4) -> None:
        """Writes a register of 4 or 8 bytes; posted."""
        self._single[0] = value
        if result := lib.engine_write(self._engine, offset, self._single, width):
            self._raise(result, f"write to {offset:#x}")

    def read_run(self, offset: int, count: int, width: int = 4) -> bytes:
        """Returns `count` registers at ascending offsets, little-endian."""
        return bytes(self.run([Read(offset, count, width)]))

    def run(self, ops: Sequence[Op], rows: Rows = 1, out: memoryview | None = None) -> memoryview:
        """Runs a program; see `hw.io.Space.run`.

        Raises ValueError if the program is malformed or `out` is too small.
        """
        if out is None:
            out = memoryview(bytearray(kept_bytes(ops, rows)))
        run, keep_alive = _lower(ops, rows)
        if not run.n_rows:
            return out[:0]
        with out.cast("B") as flat:
            run.out, run.out_size = ffi.from_buffer("uint8_t[]", flat, True), flat.nbytes
            result = lib.engine_run(self._engine, run)
            self._all_ones = not result and flat[: run.used][-4:] == _ALL_ONES
        del keep_alive
        if result:
            where = f"row {run.row} of {run.n_rows}, {_offsets(ops)}"
            self._raise(result, where, rows=run.row, used=run.used)
        return out[: run.used]

    def _raise(self, result: int, what: str, *, rows: int = 0, used: int = 0) -> NoReturn:
        if result == -errno.EOVERFLOW:
            raise ValueError(f"{what}: the output buffer is too small")
        if result == -errno.EINVAL and not self._engine.dead:
            raise ValueError(f"{what}: malformed program")
        if self._engine.gone:
            raise AdapterGone(result, "PL_WHOAMI is 0xffffffff", rows=rows, used=used)
        kind = DeadDevice if self._engine.dead else DeviceError
        raise kind(result, what, rows=rows, used=used)


class EngineIo(EngineSpace):
    """BAR0 behind a `struct io`, and configuration space; see `hw.io.Io`."""

    def __init__(self, io: int, config: Space, *, owner: object, pipelined: bool = True) -> None:
        super().__init__(io, owner=owner, pipelined=pipelined)
        self.config = config
        self._engine.alive = WHOAMI

    def check_alive(self) -> None:
        """See `hw.io.Io.check_alive`."""
        if (
            self._all_ones
            and not self._engine.dead
            and (result := lib.engine_check_alive(self._engine))
        ):
            self._raise(result, f"read of {WHOAMI:#x}")
        self._all_ones = False


def _lower(ops: Sequence[Op], rows: Rows) -> tuple[Any, object]:
    """Returns the program as C structures, and the objects that they point into."""
    n = rows if isinstance(rows, int) else len(rows)
    lowered = _lower_ops(tuple(ops))
    columns, cells = _cells(rows)
    if len(cells) != columns * n:
        raise ValueError("rows of different lengths")
    run = ffi.new("struct engine_run *")
    run.ops, run.n_ops = lowered, len(ops)
    run.n_rows, run.n_columns = n, columns
    view = ffi.from_buffer("uint32_t[]", cells)
    run.rows = view if columns else ffi.NULL
    return run, (lowered, cells, view)


@lru_cache(_LOWERED_MOST)
def _lower_ops(ops: tuple[Op, ...]) -> Any:
    """Returns the operations, which most dumps of a chip share, as C structures to read only."""
    return ffi.new("struct engine_op[]", [_lower_op(op) for op in ops])


def _cells(rows: Rows) -> tuple[int, array[int]]:
    """Returns the number of columns and the cells row by row, modulo 2^32."""
    if isinstance(rows, int) or not rows:
        return 0, array("I")
    if isinstance(rows[0], int):
        columns, cells = 1, cast(Sequence[int], rows)
    else:
        table = cast(Sequence[Sequence[int]], rows)
        columns, cells = len(table[0]), list(chain.from_iterable(table))
    try:
        return columns, array("I", cells)
    except OverflowError:
        return columns, array("I", (cell & 0xFFFFFFFF for cell in cells))


def _lower_op(op: Op) -> dict[str, object]:
    zero = _value(0)
    lowered: dict[str, object] = {"width": 4, "offset": zero, "value": zero, "count": _value(1)}
    if isinstance(op, Put):
        return lowered | {"kind": lib.ENGINE_PUT, "value": _value(op.value)}
    lowered["offset"] = _value(op.offset)
    if isinstance(op, Write):
        value, count = _value(op.value), _value(op.count)
        return lowered | {"kind": lib.ENGINE_WRITE, "value": value, "count": count}
    lowered["keep"] = op.keep
    if isinstance(op, Read):
        step = 0 if op.again else op.width
        return lowered | {
            "kind": lib.ENGINE_READ,
            "width": op.width,
            "step": step,
            "count": _value(op.count),
        }
    lowered |= {
        "kind": lib.ENGINE_POLL,
        "mask": op.mask,
        "wanted": op.wanted,
        "error": op.error,
        "attempts": 1,
    }
    if isinstance(op, Check):
        return lowered | {"count": _value(op.count)}
    return lowered | {"attempts": op.attempts, "delay_us": op.delay_us}


def _value(number: Number) -> tuple[int, int, int]:
    """Returns the base, stride and column of a `struct engine_value`."""
    if isinstance(number, Each):
        return number.first & 0xFFFFFFFF, number.step & 0xFFFFFFFF, -1
    if isinstance(number, Cell):
        return number.plus & 0xFFFFFFFF, 0, number.index
    return number & 0xFFFFFFFF, 0, -1


def _offsets(ops: Sequence[Op]) -> str:
    offsets = dict.fromkeys(op.offset for op in ops if not isinstance(op, Put))
    return "at " + ", ".join(f"{offset:#x}" for offset in offsets if isinstance(offset, int))
