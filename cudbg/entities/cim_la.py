"""CIM_LA, CIM_MA_LA, CIM_PIF_LA: the logic analysers of the embedded processor (CIM)."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vmcoredd.chip import Chip, Field
from vmcoredd.chip.cim import LA_READS, MA_LA_ENTRIES, MA_LA_WORDS, PIF_LA_ENTRIES, PIF_LA_WORDS
from vmcoredd.chip.layout import U32_MASK, WORD_BYTES, LittleStruct, sizeof, u32, u32s
from vmcoredd.chip.momentary import Kind
from vmcoredd.chip.register import parse_fields
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Fields, Item, Lazy, Table, Value
from vmcoredd.cudbg.entity import NOTHING_TRACED, NOTHING_WRITTEN, Context, Entity, entity, per_chip
from vmcoredd.hw.errors import DeadDevice, DeviceError
from vmcoredd.hw.indirect import cim_check_ops, cim_read_ops, cim_write_ops
from vmcoredd.hw.io import Cell, Io, Op, Read, Write

# CIM_LA: the processor's instructions


@entity(3, "CIM_LA")
class CimLa(Entity):
    """The embedded processor's latest instructions (cudbg_collect_cim_la()).

    The configuration word, then the trace, oldest word first.
    """

    momentary = Kind.CAPTURE
    all_zero = NOTHING_TRACED
    raw_bytes = per_chip(t5=8196, t6=8204)
    other_bytes = per_chip(t5=8196, t6=9024)
    """In older kernels (4.18): the same words, and more room behind them."""
    accesses = 24588

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area = ctx.area(WORD_BYTES * (1 + chip.cim.la_words))
        area[:WORD_BYTES] = io.run(_read_config(chip))
        _read_trace(io, chip, area[WORD_BYTES : WORD_BYTES * (1 + LA_READS)])

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        config, *words = u32s(self.need_known(blob, chip))
        register = chip.r.UP_UP_DBG_LA_CFG
        items = [Item(name, value) for name, value in register.decode(config).items()]
        only_pc = bool(register.get(config, "UpDbgLaCaptPCOnly"))
        entries = chip.cim.la_program_counters if only_pc else (chip.cim.la_line,)
        rows = Lazy(lambda: _trace_rows(words, chip, entries))
        title = "trace, oldest first"
        if LA_READS % chip.cim.la_line_words:
            title += "; the driver reads only a part of the last line"
        return Decoded([Fields(register.name, items), Table(title, _columns(entries[0]), rows)])


def _trace_rows(
    words: list[int], chip: Chip, entries: tuple[tuple[Field, ...], ...]
) -> Iterator[list[Value]]:
    """Yields the fields of every line, None for those that the driver did not read whole."""
    size = chip.cim.la_line_words
    for at in range(0, LA_READS, size):
        line = words[at : min(at + size, LA_READS)]
        number, bits = _number(line[::-1] if chip.cim.la_high_word_first else line), 32 * len(line)
        for fields in entries:
            if any(field.shift + field.width <= bits for field in fields):
                yield [f.get(number) if f.shift + f.width <= bits else None for f in fields]


def _read_config(chip: Chip) -> list[Op]:
    return cim_read_ops(chip, chip.r.UP_UP_DBG_LA_CFG)


def _read_trace(io: Io, chip: Chip, out: memoryview) -> None:
    """Stops a running analyser, reads from the write pointer on, and restarts the analyser
    (t4_cim_read_la())."""
    register = chip.r.UP_UP_DBG_LA_CFG
    (config,) = u32s(io.run(_read_config(chip)))
    running = bool(config & register.mask("UpDbgLaEn"))
    if running:
        io.run(cim_write_ops(chip, register, 0))
    try:
        (stopped,) = u32s(io.run(_read_config(chip)))
        io.run(_read_word(chip), la_requests(chip, register.get(stopped, "UpDbgLaWrPtr")), out)
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
    """Requests a word by its pointer, checks that it was fetched, and reads it."""
    register = chip.r.UP_UP_DBG_LA_CFG
    enable = register.mask("UpDbgLaRdEn")
    return [
        *cim_write_ops(chip, register, Cell()),
        *cim_check_ops(chip, register, enable, -errno.ETIMEDOUT),
        *cim_read_ops(chip, chip.r.UP_UP_DBG_LA_DATA),
    ]


def la_requests(chip: Chip, first: int) -> list[int]:
    """Returns the configuration word that requests each word of the trace.

    A row has sixteen pointers, but may have fewer words.
    """
    register = chip.r.UP_UP_DBG_LA_CFG
    field, enable = register.field("UpDbgLaRdPtr"), register.mask("UpDbgLaRdEn")
    most, last = field.mask >> field.shift, chip.cim.la_row_words - 1
    pointer, requests = first, []
    for _ in range(LA_READS):
        requests.append(pointer << field.shift | enable)
        pointer = (pointer | 0xF) + 1 if pointer & 0xF >= last else pointer + 1
        pointer &= most
    return requests


# CIM_MA_LA and CIM_PIF_LA: the processor's interfaces, out (PO) and in (PI)

_ENTRY_POINTERS = 8
_MA_WORDS = MA_LA_ENTRIES * MA_LA_WORDS
MA_POINTERS = tuple(
    _ENTRY_POINTERS * i + j for i in range(MA_LA_ENTRIES) for j in range(MA_LA_WORDS)
)
"""Where the words of the memory interfaces' traces are."""
_MA_BYTES = 2 * _MA_WORDS * WORD_BYTES
_PIF_WORDS = PIF_LA_ENTRIES * PIF_LA_WORDS
# Positions: cxgb4_debugfs.c, cim_pif_la_show() and cim_ma_la_show(); the first word is the lowest.
_REQUEST = parse_fields("Cntl:182:8 ID:176:6 DataBE:160:16 Addr:128:32 Data:0:128")
_RESPONSE = parse_fields("Cntl:134:8 ID:128:6 Data:0:128")
_MA_RESPONSE = parse_fields("Cnt:74:8 ID:71:3 Tag:67:4 UE:66:1 Data:2:64 RDY:1:1 VLD:0:1")


@entity(4, "CIM_MA_LA")
class CimMaLa(Entity):
    """The embedded processor's memory requests, and the responses (cudbg_collect_cim_ma_la()).

    The driver mistakes words for bytes: it stores responses from byte 320 on, inside the requests,
    and the requests that it reads later overwrite most of them. 320 requests and the last 80
    responses remain; the rest is zero.
    """

    momentary = Kind.CAPTURE
    all_zero = NOTHING_TRACED
    raw_bytes = _MA_BYTES
    accesses = 962

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area, r = ctx.area(_MA_BYTES).cast("I"), chip.r
        rows = pointer_rows(chip, MA_POINTERS, MA_POINTERS)
        with _frozen(io, chip):
            data = r.CIM_PO_LA_MADEBUGDATA, r.CIM_PI_LA_MADEBUGDATA
            requests, responses = _read_pairs(io, r.CIM_DEBUGCFG, rows, *data)
        area[_MA_WORDS // 4 : _MA_WORDS // 4 + _MA_WORDS] = responses
        area[:_MA_WORDS] = requests

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        words = u32s(self.need(blob, _MA_BYTES))
        starts = range(0, _MA_WORDS, MA_LA_WORDS)
        requests = [[_number(words[i : i + MA_LA_WORDS])] for i in starts]
        responses = list(_ma_responses(words))
        columns = [Column("response", "d"), *_columns(_MA_RESPONSE)]
        title = f"the last {len(responses)} responses; the driver overwrites those before them"
        return Decoded(
            [
                Table("requests", [Column("request", "x34")], requests),
                Table(title, columns, responses),
            ]
        )


def _ma_responses(words: Sequence[int]) -> Iterator[list[Value]]:
    """Yields the number and the fields of the responses that are whole."""
    kept = words[_MA_WORDS : _MA_WORDS + _MA_WORDS // WORD_BYTES]
    first = MA_LA_ENTRIES - len(kept) // MA_LA_WORDS
    for i in range(first, MA_LA_ENTRIES):
        at = (i - first) * MA_LA_WORDS
        number = _number(kept[at : at + MA_LA_WORDS])
        yield [i, *(field.get(number) for field in _MA_RESPONSE)]


class PifLayout(LittleStruct):
    """struct cudbg_cim_pif_la with its data."""

    _fields_ = (("size", u32), ("req", u32 * _PIF_WORDS), ("rsp", u32 * _PIF_WORDS))


@entity(45, "CIM_PIF_LA")
class CimPifLa(Entity):
    """The embedded processor's requests to other blocks, and the responses
    (cudbg_collect_cim_pif_la())."""

    momentary = Kind.CAPTURE
    all_zero = NOTHING_WRITTEN
    layouts = (PifLayout,)
    raw_bytes = sizeof(PifLayout)
    accesses = 1155

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        layout, r = PifLayout.from_buffer(ctx.area(sizeof(PifLayout))), chip.r
        layout.size = PIF_LA_ENTRIES
        with _frozen(io, chip):
            status = io.read(r.CIM_DEBUGSTS)
            out = pif_pointers(r.CIM_DEBUGSTS.get(status, "POLADbgWrPtr"))
            in_ = pif_pointers(r.CIM_DEBUGSTS.get(status, "PILADbgWrPtr"))
            rows = pointer_rows(chip, out, in_)
            data = r.CIM_PO_LA_DEBUGDATA, r.CIM_PI_LA_DEBUGDATA
            layout.req, layout.rsp = _read_pairs(io, r.CIM_DEBUGCFG, rows, *data)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        layout = self.parse(PifLayout, blob)
        return Decoded(
            [
                _pif_table("requests, oldest first", layout.req, _REQUEST),
                _pif_table("responses, oldest first", layout.rsp, _RESPONSE),
            ]
        )


def pif_pointers(first: int) -> list[int]:
    """Returns the six words of each entry of eight pointers; only the start of an entry wraps."""
    entries = [(first + _ENTRY_POINTERS * i) & 0x1FF for i in range(PIF_LA_ENTRIES)]
    return [entry + word for entry in entries for word in range(PIF_LA_WORDS)]


def _pif_table(title: str, words: Sequence[int], fields: tuple[Field, ...]) -> Table:
    numbers = [_number(words[at : at + PIF_LA_WORDS]) for at in range(0, _PIF_WORDS, PIF_LA_WORDS)]
    return Table(title, _columns(fields), [[field.get(n) for field in fields] for n in numbers])


@contextmanager
def _frozen(io: Io, chip: Chip) -> Iterator[None]:
    """Stops running analysers; afterwards writes their configuration back, running or not."""
    config = chip.r.CIM_DEBUGCFG
    word = io.read(config)
    if word & config.mask("LADbgEn"):
        io.write(config, word ^ config.mask("LADbgEn"))
    yield
    io.write(config, word)


def pointer_rows(chip: Chip, out: Sequence[int], in_: Sequence[int]) -> list[int]:
    """Returns the values of CIM_DEBUGCFG that select each pair of read pointers.

    The driver does not truncate a pointer that exceeds nine bits; neither does this function.
    """
    config = chip.r.CIM_DEBUGCFG
    po, pi = config.field("POLADbgRdPtr").shift, config.field("PILADbgRdPtr").shift
    return [(p << po | q << pi) & U32_MASK for p, q in zip(out, in_, strict=True)]


def _read_pairs(
    io: Io, config: int, rows: Sequence[int], out: int, in_: int
) -> tuple[memoryview, memoryview]:
    """Returns the words of both traces, one per row."""
    ops: list[Op] = [Write(config, Cell()), Read(out), Read(in_)]
    words = io.run(ops, rows).cast("I")
    return words[::2], words[1::2]


def _columns(fields: Sequence[Field]) -> list[Column]:
    return [Column(field.name, f"x{(field.width + 3) // 4}") for field in fields]


def _number(words: Sequence[int]) -> int:
    """Combines words into one number, the first word lowest (cim_ma_la_show())."""
    return sum(word << 32 * i for i, word in enumerate(words))
