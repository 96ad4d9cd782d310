"""MBOX_LOG, DEV_LOG: the driver's log of commands, and the firmware's own log."""

from __future__ import annotations

import errno
import struct
from dataclasses import replace
from typing import Any

import pytest
from carddump import rows
from ramcard import RamCard
from ramdump import codes, dumped

from vmcoredd import cudbg
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.devlog import DevlogEntry, Facility, Level
from vmcoredd.chip.firmware import Dev, Devlog, FwCommand, Hello, Ldst, Op, Params, param
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import DumpFormatError
from vmcoredd.cudbg.printf import formatted
from vmcoredd.hw.device import MailboxEntry
from vmcoredd.hw.errors import DeviceError

# MBOX_LOG

MBOX_LOG_ENTITY = entities()["MBOX_LOG"]
HELLO = MailboxEntry((Op.HELLO << 56 | 5, 2, 3, 4, 5, 6, 7, 8), 1000, 7, access=-2, execute=12)


def test_mbox_log_is_empty_before_the_first_command() -> None:
    entity, blob = dumped(RamCard(16), T6, "MBOX_LOG")
    assert (entity.counts.total, blob) == (0, bytes(256 * 144))


def test_mbox_log_holds_a_commands_words_and_again_their_halves() -> None:
    _, blob = dumped(RamCard(16), T6, "MBOX_LOG", mailbox_log=[HELLO])
    assert struct.unpack_from("<8QQIhh", blob) == (*HELLO.words, 1000, 7, -2, 12)
    assert struct.unpack_from("<8I", blob, 80) == (Op.HELLO << 24, 0, 0, 0, 0, 0, 0, 0)
    assert struct.unpack_from("<8I", blob, 112) == (5, 2, 3, 4, 5, 6, 7, 8)
    assert not any(blob[144:])


def test_mbox_log_leaves_unused_entries_out_and_keeps_the_last_256() -> None:
    unused = MailboxEntry((0,) * 8, 0, 0, 0, 0)
    many = [MailboxEntry((0,) * 8, 1, seqno, 0, 0) for seqno in range(300)]
    _, blob = dumped(RamCard(16), T6, "MBOX_LOG", mailbox_log=[unused, *many])
    seqnos = [struct.unpack_from("<I", blob, 144 * i + 72)[0] for i in range(256)]
    assert seqnos == list(range(44, 300))


def mailbox_row(entry: MailboxEntry) -> dict[str, Any]:
    _, blob = dumped(RamCard(16), T6, "MBOX_LOG", mailbox_log=[entry])
    (row,) = rows(MBOX_LOG_ENTITY.decode(blob, T6))
    return row


def test_a_request_is_shown_with_its_flags_and_without_a_result() -> None:
    words = struct.unpack(">8Q", bytes(Params(read=1)).ljust(64, b"\0"))
    row = mailbox_row(MailboxEntry(words, 1000, 7, access=3, execute=0))
    shown = [row[name] for name in ("seqno", "time", "kind", "command", "flags", "result")]
    assert shown == [7, 1000, "request", "PARAMS", "read", ""]
    assert row["fields"] == ""
    assert (row["access ms"], row["execute ms"]) == (3, 0)


def test_parameters_and_fields_of_a_command_are_shown_by_name() -> None:
    clock = Params.reading([param(Dev.CCLK)]).reply()
    clock.param[0].val = 250_000
    words = struct.unpack(">8Q", bytes(clock).ljust(64, b"\0"))
    assert mailbox_row(MailboxEntry(words, 1, 7, 0, 1))["fields"] == "DEV.CCLK=0x3d090"
    hello = struct.unpack(">8Q", bytes(Hello(mbmaster=4, mbasyncnot=3)).ljust(64, b"\0"))
    shown = mailbox_row(MailboxEntry(hello, 1, 7, 0, 0))["fields"]
    assert shown == "mbmaster=0x4 mbasyncnot=0x3"


@pytest.mark.parametrize(("space", "shown"), [(0x10, "TP_PIO"), (0x38, "I2C"), (0x77, "0x77")])
def test_the_space_that_an_ldst_reads_is_named(space: int, shown: str) -> None:
    ldst = struct.unpack(">8Q", bytes(Ldst(addrspace=space, read=1)).ljust(64, b"\0"))
    assert mailbox_row(MailboxEntry(ldst, 1, 7, 0, 0))["fields"] == f"addrspace={shown}"


@pytest.mark.parametrize(
    ("first", "command", "result"),
    [
        (0x0800000000001602, "PARAMS", "refused: EINVAL (22)"),
        (0x0800000000000002, "PARAMS", "ok"),
        (0x0400000000008402, "HELLO", "refused: ERR_LINK_DOWN (132)"),
        (0x0400000000007F02, "HELLO", "refused: 127"),
        (0x7F00000000000002, "0x7f", "ok"),
    ],
)
def test_a_reply_is_shown_with_its_return_value(first: int, command: str, result: str) -> None:
    row = mailbox_row(MailboxEntry((first, *[0] * 7), 1000, 7, access=0, execute=12))
    assert (row["kind"], row["command"], row["result"]) == ("reply", command, result)
    assert row["execute ms"] == 12


@pytest.mark.parametrize(
    ("access", "execute", "result"),
    [
        (0, -errno.ETIMEDOUT, "no reply: -ETIMEDOUT"),
        (-errno.EBUSY, -errno.EBUSY, "no access: -EBUSY"),
        (0, -errno.ENXIO, "no reply: -ENXIO"),
        (5, -errno.EBUSY, "no reply: -EBUSY"),
    ],
)
def test_negative_times_are_error_codes_not_milliseconds(
    access: int, execute: int, result: str
) -> None:
    row = mailbox_row(replace(HELLO, access=access, execute=execute))
    assert row["result"].startswith(result)
    assert row["execute ms"] is None


@pytest.mark.parametrize("size", [36863, 36865])
def test_mbox_log_refuses_another_size(size: int) -> None:
    with pytest.raises(DumpFormatError, match="MBOX_LOG: need 36864"):
        MBOX_LOG_ENTITY.decode(bytes(size), T6)


# DEV_LOG

DEV_LOG_ENTITY = entities()["DEV_LOG"]
POINTER, WINDOW_BASE, WINDOW_OFFSET, EDC0_BAR = 0x30D8, 0x3068, 0x306C, 0x77C0
WINDOW = 0x1B800
SIZE = 32 * 1024


def card(pointer: int) -> RamCard:
    """Returns a card whose memory holds its own address in each word."""
    made = RamCard()
    made.put(POINTER, pointer)
    made.put(WINDOW_BASE, 0x1B801)
    made.put(EDC0_BAR, 2)

    def move(offset: int) -> None:
        for word in range(0, 2048, 4):
            made.put(WINDOW + word, (offset & ~0x7FF) + word)

    made.on_write[WINDOW_OFFSET] = move
    return made


@pytest.mark.parametrize("chip", [T5, T6])
def test_dev_log_is_read_word_by_word_through_window_0(chip: Chip) -> None:
    entity, blob = dumped(card(0x00001000), chip, "DEV_LOG")
    assert blob == b"".join(word.to_bytes(4, "little") for word in range(0x1000, 0x1000 + SIZE, 4))
    moves = SIZE // 2048 + 1
    assert (entity.counts.r32, entity.counts.w32) == (3 + SIZE // 4 + moves, moves)


def test_dev_log_is_read_at_the_pointer() -> None:
    _, blob = dumped(card(1 << 28 | 0x123450 | 1), T6, "DEV_LOG")
    assert len(blob) == 2 * SIZE
    assert int.from_bytes(blob[:4], "little") == (2 << 20) + 0x123450


def test_dev_log_at_address_0_is_not_read() -> None:
    entity, blob = dumped(card(1), T6, "DEV_LOG")
    assert (entity.good, entity.counts.total, blob) == (True, 1, bytes(SIZE))


def test_dev_log_asks_the_firmware_if_no_register_points_to_the_log() -> None:
    asked: list[FwCommand] = []

    def firmware(command: FwCommand) -> FwCommand:
        asked.append(command)
        assert isinstance(command, Devlog)
        return command.reply(memtype_devlog=0, memaddr16_devlog=0x100, memsize_devlog=512)

    buffer = bytearray(8192)
    cudbg.collect(
        card(0).io(),
        cudbg.Device(T6, 0),
        memoryview(buffer),
        compress="none",
        entities=["DEV_LOG"],
        firmware=firmware,
    )
    assert len(asked) == 1
    assert len(cudbg.Dump(buffer).raw("DEV_LOG")) == 512
    assert buffer[3800:3804] == (0x1000).to_bytes(4, "little")


def test_dev_log_fails_with_the_mailboxs_error() -> None:
    def dead(command: FwCommand) -> FwCommand:
        raise DeviceError(-errno.ETIMEDOUT, "mailbox")

    buffer = bytearray(8192)
    report = cudbg.collect(
        card(0).io(), cudbg.Device(T6, 0), memoryview(buffer), entities=["DEV_LOG"], firmware=dead
    )
    assert codes(report.entities[0]) == (-29, -110, 0)


def test_dev_log_fails_if_the_window_is_not_in_bar0() -> None:
    for base in (0xFFFFFFFF, 0x80000 | 1):
        unusable = card(0x1000)
        unusable.put(WINDOW_BASE, base)
        assert codes(dumped(unusable, T6, "DEV_LOG")[0]) == (-29, -errno.ENXIO, 0)


def record(seqno: int, text: bytes = b"", *params: int, timestamp: int = 5) -> bytes:
    entry = DevlogEntry(timestamp=timestamp, seqno=seqno, level=Level.ERR, facility=Facility.PORT)
    entry.fmt = text.ljust(192, b"\0")
    entry.params[: len(params)] = params
    return bytes(entry)


def test_dev_log_begins_with_the_oldest_record() -> None:
    log = record(8, b"second %d\n", 2) + record(9, timestamp=0) + record(7, b"first")
    told = rows(DEV_LOG_ENTITY.decode(log, T6))
    assert [(row["seqno"], row["message"]) for row in told] == [(7, "first"), (8, "second 2")]
    assert (told[0]["facility"], told[0]["level"], told[0]["ticks"]) == ("PORT", "ERR", 5)


def test_dev_log_shows_seconds_if_it_tells_the_clock_and_says_that_the_unit_is_assumed() -> None:
    log = record(1, b"core clock %u kHz", 250_000) + record(2, b"up", timestamp=500_000_000)
    decoded = DEV_LOG_ENTITY.decode(log, T6)
    assert [row["seconds"] for row in rows(decoded)] == [0.0, 2.0]
    (table,) = decoded
    assert "assumed that a tick is one core clock cycle, 250000 kHz" in table.title


def test_dev_log_shows_no_seconds_if_nothing_tells_the_clock() -> None:
    decoded = DEV_LOG_ENTITY.decode(record(1), T6)
    assert rows(decoded)[0]["seconds"] is None
    (table,) = decoded
    assert "no seconds" in table.title


@pytest.mark.parametrize(
    ("template", "params", "message"),
    [
        (b"%d %i %u", [0xFFFFFFFF, 1, 0xFFFFFFFF], "-1 1 4294967295"),
        (b"%#x %08x %X %p", [255, 255, 255, 255], "0xff 000000ff FF 0xff"),
        (b"100%% %c", [65], "100% A"),
        (b"%lu %5d|%-5d|", [7, 1, 2], "7     1|2    |"),
        (b"%d %d", [1], "1 %d"),
        (b"%n %q", [1], "%n %q"),
        (b"\xff%d\0%d", [3, 4], "\ufffd3"),
        (b"%.8x %#.4x %.0d|", [0xAB, 0xFF, 0], "000000ab 0x00ff |"),
        (b"%.2d %.2d %5.2d|", [3, 0xFFFFFFFD, 3], "03 -03    03|"),
        (b"%hhu %hu %hhd %hd", [0x1234, 0x12345, 0x80, 0xFFFF], "52 9029 -128 -1"),
        (b"%hhx %hX %lu %llu %zu", [0x1234, 0x1ABCD, 1, 2, 3], "34 ABCD 1 2 3"),
        (b"%5c|%-5c|", [65, 66], "    A|B    |"),
        (b"%*d|%d", [7, 8, 9], "      8|9"),
        (b"%*d|%-*d|", [0xFFFFFFFC, 8, 3, 1], "8   |1  |"),
        (b"%.*x|%.*d", [4, 0xAB, 0xFFFFFFFF, 5], "00ab|5"),
        (b"%+d % d %05d %-05d|%+u", [1, 2, 0xFFFFFFFD, 4, 5], "+1  2 -0003 4    |5"),
        (b"%05.2d %#o %#x %o", [3, 8, 0, 8], "   03 010 0 10"),
        (b"%*d", [7], "%*d"),
        (b"%s", [0x1000], "<string at 0x1000>"),
    ],
)
def test_dev_log_formats_as_the_firmware_would(
    template: bytes, params: list[int], message: str
) -> None:
    assert formatted(template, params) == message


def test_dev_log_decodes_at_most_65536_records_and_says_so() -> None:
    (table,) = DEV_LOG_ENTITY.decode(record(7) * 65536, T6)
    fields, cut = DEV_LOG_ENTITY.decode(record(7) * 65537, T6)
    assert [item.value for item in fields.items] == [65537, 65536]
    assert [sum(1 for _ in log.rows) for log in (table, cut)] == [65536, 65536]


def test_dev_log_refuses_a_part_of_a_record() -> None:
    with pytest.raises(DumpFormatError, match="257"):
        DEV_LOG_ENTITY.decode(bytes(257), T6)


@pytest.mark.parametrize("template", [b"%999999999d", b"%99999999999999999999d"])
def test_dev_log_leaves_an_absurd_width_unchanged(template: bytes) -> None:
    assert formatted(template, [1]) == template.decode()
