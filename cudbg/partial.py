"""Programs that may fail half way, where what was read before that counts all the same."""

from __future__ import annotations

from collections.abc import Sequence

from vmcoredd.hw.errors import DeadDevice, DeviceError
from vmcoredd.hw.io import Io, Op


def run_rows(io: Io, ops: Sequence[Op], rows: Sequence[int], out: memoryview) -> int:
    """How many rows were done before a poll or check failed; `out` holds what they kept."""
    try:
        io.run(ops, rows, out)
    except DeadDevice:
        raise
    except DeviceError as error:
        return error.rows
    return len(rows)
