"""An adapter in this process: its dumps, the callback for the registry, and the summary."""

from __future__ import annotations

import errno

import pytest

from vmcoredd import cudbg, driver, emu
from vmcoredd.vmcore import DeviceDumps

SMALL = {"edc0": 1, "edc1": 1, "mc0": 1}


def card(name: str = "t62100-cr", seed: int = 3) -> emu.Card:
    return emu.Card.load(name, seed=seed, memory=SMALL)


def dumped(loaded: emu.Card) -> bytes:
    buffer = bytearray(cudbg.DUMP_SIZE)
    with driver.open_card(loaded) as adapter:
        adapter.collect(memoryview(buffer))
    return bytes(buffer)


@pytest.mark.parametrize("name", ["t62100-cr", "t520-cr"])
def test_dumps_of_two_cards_of_one_seed_are_equal(name: str) -> None:
    assert dumped(card(name)) == dumped(card(name))


def test_dumps_of_one_restored_card_are_equal() -> None:
    one = card()
    before = one.snapshot()
    first = dumped(one)
    one.restore(before)
    assert dumped(one) == first


def test_dumps_of_cards_of_different_seeds_differ() -> None:
    assert dumped(card(seed=1)) != dumped(card(seed=2))


def test_device_dump_has_the_kernels_size_and_fills_a_note() -> None:
    dumps = DeviceDumps()
    with driver.open_card(card()) as adapter:
        size, fill = adapter.device_dump()
        note = dumps.add_device_dump(driver.dump_name("0000:01:00.4"), size, fill)
        report = adapter.report
    assert size == 0x02000ED8
    assert note.name == "cxgb4_0000:01:00.4"
    assert report is not None
    assert len(report.good) == 50
    assert cudbg.Dump(note.payload).raw("CIM_QCFG")[0] == 0x60
    del fill
    dumps.close()


def test_device_dump_takes_a_subset_and_reports_progress() -> None:
    reported: list[str] = []
    with driver.open_card(card()) as adapter:
        _, fill = adapter.device_dump(
            entities=["CLK", "RSS"],
            compress="none",
            progress=lambda entity, number, total: reported.append(entity.name),
        )
        buffer = bytearray(1 << 20)
        fill(memoryview(buffer))
    assert [entity.name for entity in cudbg.Dump(buffer).entities] == ["RSS", "CLK"]
    assert reported == ["RSS", "RSS", "CLK", "CLK"]


def test_device_dump_without_room_for_its_headers_is_enomem() -> None:
    with driver.open_card(card()) as adapter:
        _, fill = adapter.device_dump()
        with pytest.raises(OSError, match="3800") as refused:
            fill(memoryview(bytearray(100)))
    assert refused.value.errno == errno.ENOMEM


def test_summary_describes_the_card() -> None:
    with driver.open_card(card("t520-cr")) as adapter:
        summary = adapter.summary()
    assert (summary.product, summary.chip, summary.model) == ("T520-CR", "T5", "T520-CR")
    assert summary.firmware.count(".") == 3
    assert len(summary.mac) == 12
    assert dict(summary.memories) == {"EDC0": 1 << 20, "EDC1": 1 << 20, "MC0": 1 << 20}


def test_summary_names_the_card_as_its_dump_does() -> None:
    loaded = card()
    with driver.open_card(loaded) as adapter:
        read = adapter.summary()
        adapter.collect(memoryview(bytearray(cudbg.DUMP_SIZE)))
        loaded.fail("no-vpd")
        assert adapter.summary() == read
        adapter.collect(memoryview(bytearray(cudbg.DUMP_SIZE)), entities=["CLK"])
        assert adapter.summary().model == ""


def test_summary_omits_memories_that_the_card_does_not_have() -> None:
    broken = emu.Card.load("t62100-cr", memory=SMALL, faults=["no-memory"])
    with driver.open_card(broken) as adapter:
        assert adapter.summary().memories == ()


def test_summary_omits_what_an_adapter_makes_no_sense_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise IndexError

    monkeypatch.setattr("vmcoredd.driver.adapter.read_meminfo", broken)
    with driver.open_card(card()) as adapter:
        summary = adapter.summary()
    assert (summary.memories, summary.model) == ((), "T62100-CR")


def test_summary_omits_memories_that_end_before_they_begin() -> None:
    loaded = card()
    with driver.open_card(loaded) as adapter:
        bar = adapter.chip.r.MA_EDRAM0_BAR
        loaded.write(int(bar), bar.of(EDRAM0_BASE=0xFFF, EDRAM0_SIZE=0xFFF))
        assert [name for name, _ in adapter.summary().memories] == ["EDC1", "MC"]


def test_dump_includes_the_mailbox_log() -> None:
    from vmcoredd.chip.firmware import Devlog

    buffer = bytearray(1 << 20)
    with driver.open_card(card()) as adapter:
        adapter.mailbox.call(Devlog(read=1))
        adapter.collect(memoryview(buffer), entities=["MBOX_LOG"])
    (table,) = cudbg.Dump(buffer).decode("MBOX_LOG").json()
    assert [row["command"] for row in table["rows"]] == ["DEVLOG", "DEVLOG"]
