"""CLK, HW_SCHED: TCP's timers and the transmit schedulers."""

from __future__ import annotations

from typing import Any

import pytest
from carddump import CARDS, collected
from carddump import rows as rows_of
from ramcard import RamCard
from ramdump import answers, codes, dumped, indexed, writes

from vmcoredd.chip import T6, Chip
from vmcoredd.chip.devlog import DevlogEntry
from vmcoredd.chip.layout import u32s, u64s
from vmcoredd.cudbg.decoded import Bytes, Decoded, Fields, Item, Table, Text
from vmcoredd.cudbg.device_log import told_clock
from vmcoredd.cudbg.entity import entities

CLK, HW_SCHED = entities()["CLK"], entities()["HW_SCHED"]

# CLK

RESOLUTION, DACK = 0x7D90, 0x7DB4
TIMERS = (0x7D98, 0x7D9C, 0x7DA0, 0x7DA4, 0x7DA8, 0x7DAC, 0x7DB0, 0x7DB8)
TICK_US, DACK_TICK_US = 20, 5  # 2^10 and 2^8 cycles of 20 ns


def clock_card() -> RamCard:
    card = RamCard()
    card.put(RESOLUTION, 10 << 16 | 8)
    card.put(DACK, 40)
    for i, timer in enumerate(TIMERS):
        card.put(timer, 1000 + i)
    return card


def test_timers_are_in_microseconds_of_a_50_mhz_clock() -> None:
    _, blob = dumped(clock_card(), T6, "CLK")
    assert u64s(blob[:64]) == tuple(TICK_US * (1000 + i) for i in range(8))
    words = u32s(blob[64:])
    assert words == (40 * DACK_TICK_US, 10 << 16 | 8, 20_000, 10, 8, 0)


def test_registers_are_read_in_the_kernels_order() -> None:
    card = clock_card()
    dumped(card, T6, "CLK")
    assert [offset for _, offset, _ in card.log] == [RESOLUTION, DACK, *TIMERS]


def test_the_initial_round_trip_time_is_half_of_a_register() -> None:
    card = clock_card()
    card.put(0x7DB0, 0xFFFF0007)
    assert u64s(dumped(card, T6, "CLK")[1][48:56]) == (7 * TICK_US,)


def test_timers_have_more_than_32_bits() -> None:
    card = clock_card()
    card.put(0x7D9C, 0xFFFFFFFF)
    assert u64s(dumped(card, T6, "CLK")[1][8:16]) == (0xFFFFFFFF * TICK_US,)


def test_clk_reads_nothing_without_a_core_clock() -> None:
    card = RamCard()
    entity, _ = dumped(card, T6, "CLK", cclk_khz=0)
    assert codes(entity) == (-32, 0, 0)
    assert card.log == []


def known_to(chip: Chip, *, flags: int = 2, **leave_out: bytes) -> dict[str, Bytes]:
    """What explains a clock in a dump of the chip's card; `leave_out=b""` removes one."""
    names = ("CLK", "DEV_LOG", "TP_INDIRECT")
    found: dict[str, Bytes] = {name: collected(chip).dump.raw(name) for name in names}
    found["TID_INFO"] = bytes(64) + flags.to_bytes(4, "little") + bytes(88)
    return {name: blob for name, blob in found.items() if name not in leave_out}


def items(decoded: Decoded) -> dict[str, Item]:
    parts = (part for part in decoded if isinstance(part, Fields))
    return {item.name: item for part in parts for item in part.items}


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_the_core_clock_that_the_firmware_logged_is_used_and_said(chip: Chip) -> None:
    shown = items(collected(chip).dump.decode("CLK"))
    assert shown["core clock"].value == 4
    assert "250000 kHz" in shown["core clock"].meaning
    assert "DEV_LOG record 1" in shown["core clock"].meaning
    assert shown["clock of the driver"].value == 20
    assert shown["TP tick"].value == 65.536
    assert shown["TCP timestamp tick"].value == 16.384
    assert shown["delayed ACK tick"].value == 1.024
    assert shown["retransmit min"].value == round(65.536 * 3051)
    assert shown["retransmit min"].meaning == (
        f"us: 3051 ticks of 65.536 us; the driver's debugfs shows {65 * 3051}"
    )
    assert shown["delayed ACK timer"].value == round(1.024 * 39062)


def test_without_the_firmwares_log_the_screen_warns_that_the_clock_is_a_preset() -> None:
    blob = collected(T6).dump.raw("CLK")
    shown = items(CLK.decode_with(blob, known_to(T6, DEV_LOG=b""), T6))
    assert shown["core clock"].value == 20
    assert "NOT MEASURED" in shown["core clock"].meaning
    assert shown["retransmit min"].value == round(327.68 * 3051)
    assert str(327 * 3051) in shown["retransmit min"].meaning


@pytest.mark.parametrize("flags", [0x12, 0x83], ids=["FW_OK", "lost the firmware later"])
def test_a_driver_that_had_attached_to_the_firmware_is_believed(flags: int) -> None:
    shown = items(CLK.decode_with(collected(T6).dump.raw("CLK"), known_to(T6, flags=flags), T6))
    assert shown["core clock"].value == 20
    assert "as the driver knew it" in shown["core clock"].meaning
    assert "clock of the driver" not in shown


def test_a_clock_that_is_not_the_preset_is_believed() -> None:
    _, blob = dumped(clock_card(), T6, "CLK", cclk_khz=200_000)
    shown = items(CLK.decode_with(blob, known_to(T6), T6))
    assert shown["core clock"].value == 5
    assert "as the driver knew it" in shown["core clock"].meaning


def with_ticks_of(exponent: int, ticks: int) -> tuple[bytes, bytes]:
    """CLK of a driver with its preset, and REG_DUMP, of a card with such ticks."""
    card = clock_card()
    card.put(RESOLUTION, exponent << 16 | exponent)
    registers = bytearray(332 << 10)
    for offset in (DACK, *TIMERS):
        card.put(offset, ticks)
        registers[offset : offset + 4] = ticks.to_bytes(4, "little")
    return dumped(card, T6, "CLK")[1], bytes(registers)


def test_a_tick_of_less_than_a_microsecond_is_not_0() -> None:
    blob, _ = with_ticks_of(7, 390)
    shown = items(CLK.decode_with(blob, known_to(T6), T6))
    for name in ("retransmit min", "initial srtt", "delayed ACK timer"):
        assert shown[name].value == 199.68
        assert shown[name].meaning == ("us: 390 ticks of 0.512 us; the driver's debugfs shows 0")


def test_a_timer_that_the_driver_lost_is_taken_from_its_register() -> None:
    blob, registers = with_ticks_of(2, 5000)  # of 80 ns, which the driver counts as 0 us
    shown = items(CLK.decode_with(blob, known_to(T6), T6))
    assert shown["retransmit min"].value is None
    assert "not in the dump" in shown["retransmit min"].meaning
    shown = items(CLK.decode_with(blob, {**known_to(T6), "REG_DUMP": registers}, T6))
    assert shown["retransmit min"].value == shown["delayed ACK timer"].value == 80
    assert "5000 ticks of 0.016 us" in shown["retransmit min"].meaning


@pytest.mark.parametrize(
    ("text", "khz"),
    [
        (b"core clock %u kHz", 250_000),
        (b"Core Clock: %u kHz", 250_000),
        (b"core clock 250 MHz", 250_000),
        (b"core clock 0 kHz", None),
        (b"a clock of 5 Hz", None),
    ],
)
def test_the_firmwares_log_tells_the_clock_in_words(text: bytes, khz: int | None) -> None:
    entry = DevlogEntry(timestamp=5, seqno=9)
    entry.fmt, entry.params[0] = text.ljust(192, b"\0"), 250_000
    told = told_clock(bytes(256) + bytes(entry))
    assert (told.khz if told else None) == khz


# HW_SCHED

MAP, CONFIG, PACE = 0x7E28, 0x7E24, 0x7DD8  # TP_TX_MOD_QUEUE_REQ_MAP, TP_MOD_CONFIG, ...
TM_ADDR, TM_DATA = 0x7E18, 0x7E1C
TIMER_MODE_SHIFT = 8


def test_rate_and_gap_of_two_schedulers_share_a_word() -> None:
    card = RamCard()
    indices = writes(card, TM_ADDR)
    entity, _ = dumped(card, T6, "HW_SCHED")
    assert indices == [8, 3, 8, 3, 7, 2, 7, 2, 6, 1, 6, 1, 5, 0, 5, 0]
    assert entity.counts.total == 50


def test_a_rate_follows_from_bytes_and_50_mhz_cycles_per_tick() -> None:
    card = RamCard()
    words = {8: 250 << 24 | 50 << 16 | 125 << 8 | 50, 7: 125 << 8}
    indexed(card, TM_ADDR, TM_DATA, lambda index: words.get(index, 0))
    kbps = u32s(dumped(card, T6, "HW_SCHED")[1])[:8]
    assert kbps == (1_000_000, 2_000_000, 0, 0, 0, 0, 0, 0)


def test_a_gap_is_in_tenths_of_nanoseconds() -> None:
    card = RamCard()
    indexed(card, TM_ADDR, TM_DATA, lambda index: 0x0002_0001 if index == 3 else 0)
    assert u32s(dumped(card, T6, "HW_SCHED")[1])[8:10] == (200, 400)


def test_pace_mode_and_map_follow() -> None:
    card = RamCard()
    card.put(MAP, 0xE4)
    card.put(CONFIG, 0xFFFF00FF | 0xA5 << TIMER_MODE_SHIFT)
    answers(card, PACE, lambda value: 50 * (value - 0xFFFF0000))
    words = u32s(dumped(card, T6, "HW_SCHED")[1])
    assert words[16:] == (0, 1, 2, 3, 4, 5, 6, 7, 0xA5, 0xE4)


def test_hw_sched_reads_nothing_without_a_core_clock() -> None:
    card = RamCard()
    entity, _ = dumped(card, T6, "HW_SCHED", cclk_khz=0)
    assert codes(entity) == (-32, 0, 0)
    assert card.log == []


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_eight_schedulers_are_shown_with_their_channels(chip: Chip) -> None:
    rows = collected(chip).table("HW_SCHED")
    assert [row["scheduler"] for row in rows] == list(range(8))
    assert {row["mode"] for row in rows} <= {"class", "flow"}
    assert any(row["kbit/s"] for row in rows)


def schedulers(others: dict[str, Bytes], blob: bytes) -> tuple[str, list[dict[str, Any]], str]:
    """Returns the table's title and rows, and the text below."""
    decoded = list(HW_SCHED.decode_with(blob, others, T6))
    table, texts = decoded[0], decoded[1:]
    assert isinstance(table, Table)
    lines = [line for text in texts if isinstance(text, Text) for line in text.lines]
    return table.title, rows_of(Decoded([table])), " ".join(lines)


def test_rates_follow_from_the_clock_that_the_firmware_logged() -> None:
    title, shown, caveat = schedulers(known_to(T6), collected(T6).dump.raw("HW_SCHED"))
    assert "250000 kHz, told by the firmware's log" in title
    assert (shown[0]["kbit/s"], shown[0]["state"]) == (857_142, "enabled")
    assert (shown[2]["kbit/s"], shown[2]["state"]) == (0, "disabled")
    assert "rates" not in caveat


def test_a_pace_is_a_range_since_the_driver_divided_by_its_preset() -> None:
    _, shown, caveat = schedulers(known_to(T6), collected(T6).dump.raw("HW_SCHED"))
    stored = u32s(collected(T6).dump.raw("HW_SCHED"))[16]
    assert shown[0]["pace in us"] == stored * 50 * 2**8 // 250 == 512
    assert shown[0]["to"] == (stored * 50 + 49) * 2**8 // 250
    assert "DelayedACKResolution" in caveat


def test_without_the_registers_a_rate_is_converted_and_the_screen_says_so() -> None:
    others = known_to(T6, TP_INDIRECT=b"")
    _, shown, caveat = schedulers(others, collected(T6).dump.raw("HW_SCHED"))
    assert shown[0]["kbit/s"] == 171_428 * 5
    assert "converted from rounded ones" in caveat


def test_schedulers_of_an_unknown_clock_are_marked() -> None:
    blob = collected(T6).dump.raw("HW_SCHED")
    title, shown, _ = schedulers(known_to(T6, DEV_LOG=b""), blob)
    assert "NOT MEASURED" in title
    assert shown[0]["kbit/s"] == 171_428
    title, _, caveat = schedulers({}, blob)
    assert "NOT MEASURED" in title
    assert "CLK, which is not in the dump" in caveat


def test_a_driver_that_knows_the_clock_knows_paces_and_gaps() -> None:
    card = RamCard()
    indexed(card, TM_ADDR, TM_DATA, lambda index: 0x0002_0001 if index == 3 else 0)
    answers(card, PACE, lambda value: 2000)
    _, blob = dumped(card, T6, "HW_SCHED", cclk_khz=200_000)
    others = known_to(T6, flags=0x12, TP_INDIRECT=b"", CLK=b"")
    _, clk = dumped(clock_card(), T6, "CLK", cclk_khz=200_000)
    title, shown, caveat = schedulers({**others, "CLK": clk}, blob)
    assert "200000 kHz, as the driver knew it" in title
    assert [shown[0][name] for name in ("gap in 0.1 ns", "pace in us", "to")] == [50, 10, 10]
    assert caveat == ""
