"""CIM_LA: the logic analyser of the embedded processor: what it last executed."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from vmcoredd.chip import Chip, Field
from vmcoredd.chip.layout import WORD_BYTES, u32s
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Fields, Item, Lazy, Table, Value
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.hw.errors import DeadDevice, DeviceError
from vmcoredd.hw.indirect import cim_check_ops, cim_read_ops, cim_write_ops
from vmcoredd.hw.io import Cell, Io, Op

_READS = 2048  # params.cim_la_size (CIMLA_SIZE)


@entity(3, "CIM_LA")
class CimLa(Entity):
    """cudbg_collect_cim_la(): the configuration word, then the trace, oldest word first."""

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area = ctx.area(WORD_BYTES * (1 + chip.cim.la_words))
        area[:WORD_BYTES] = io.run(_read_config(chip))
        _read_trace(io, chip, area[WORD_BYTES : WORD_BYTES * (1 + _READS)])

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        config, *words = u32s(self.need(blob, WORD_BYTES * (1 + chip.cim.la_words)))
        register = chip.r.UP_UP_DBG_LA_CFG
        items = [Item(name, value) for name, value in register.decode(config).items()]
        only_pc = bool(register.get(config, "UpDbgLaCaptPCOnly"))
        entries = chip.cim.la_program_counters[::-1] if only_pc else (chip.cim.la_line,)
        columns = [Column(field.name, f"x{(field.width + 3) // 4}") for field in entries[0]]
        rows = Lazy(lambda: _rows(words, chip, entries))
        return Decoded([Fields(register.name, items), Table("trace, oldest first", columns, rows)])


def _rows(
    words: list[int], chip: Chip, entries: tuple[tuple[Field, ...], ...]
) -> Iterator[list[Value]]:
    """Lines as one number each; what the driver did not read is left out."""
    size = chip.cim.la_line_words
    for at in range(0, _READS // size * size, size):
        line = words[at : at + size]
        if chip.cim.la_high_word_first:
            line = line[::-1]
        number = sum(word << 32 * i for i, word in enumerate(line))
        for fields in entries:
            yield [field.get(number) for field in fields]


def _read_config(chip: Chip) -> list[Op]:
    return cim_read_ops(chip, chip.r.UP_UP_DBG_LA_CFG)


def _read_trace(io: Io, chip: Chip, out: memoryview) -> None:
    """Stops the analyser if it runs, reads from the write pointer on, starts it again
    (t4_cim_read_la())."""
    register = chip.r.UP_UP_DBG_LA_CFG
    (config,) = u32s(io.run(_read_config(chip)))
    running = bool(config & register.mask("UpDbgLaEn"))
    if running:
        io.run(cim_write_ops(chip, register, 0))
    try:
        (stopped,) = u32s(io.run(_read_config(chip)))
        io.run(_read_word(chip), _pointers(chip, register.get(stopped, "UpDbgLaWrPtr")), out)
    except DeadDevice:
        raise
    except DeviceError:
        if running:
            _restart(io, chip, config)
        raise
    if running:
        _restart(io, chip, config)


def _restart(io: Io, chip: Chip, config: int) -> None:
    register = chip.r.UP_UP_DBG_LA_CFG
    io.run(cim_write_ops(chip, register, config & ~register.mask("UpDbgLaRdEn")))


def _read_word(chip: Chip) -> list[Op]:
    """Ask for a word by its pointer, see that it was fetched, read it."""
    register, r = chip.r.UP_UP_DBG_LA_CFG, chip.r
    enable = register.mask("UpDbgLaRdEn")
    return [
        *cim_write_ops(chip, register, Cell()),
        *cim_check_ops(chip, register, enable, -errno.ETIMEDOUT),
        *cim_read_ops(chip, r.UP_UP_DBG_LA_DATA),
    ]


def _pointers(chip: Chip, first: int) -> list[int]:
    """What is written for each word; a row of sixteen pointers may have fewer words."""
    register = chip.r.UP_UP_DBG_LA_CFG
    field, enable = register.field("UpDbgLaRdPtr"), register.mask("UpDbgLaRdEn")
    most, last = field.mask >> field.shift, chip.cim.la_row_words - 1
    pointer, requests = first, []
    for _ in range(_READS):
        requests.append(pointer << field.shift | enable)
        pointer = (pointer | 0xF) + 1 if pointer & 0xF >= last else pointer + 1
        pointer &= most
    return requests
