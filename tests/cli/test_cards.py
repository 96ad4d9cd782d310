"""`vmcoredd cards`."""

from __future__ import annotations

from cliruns import Run

from vmcoredd import emu


def test_cards_are_listed_with_chip_ports_and_memory(vmcoredd: Run) -> None:
    lines = vmcoredd("cards").out.splitlines()
    for name in emu.profiles():
        assert any(line.split()[:1] == [name] for line in lines), name
    (line,) = [line for line in lines if "t62100-cr " in line]
    shown = " ".join(line.split())
    assert shown == "t62100-cr T62100-CR T6 0x640d 2x100G edc0 2 edc1 2 mc0 8"


def test_cards_are_records_for_programs(vmcoredd: Run) -> None:
    records = {record["name"]: record for record in vmcoredd("cards", "--json").json["cards"]}
    assert records.keys() == set(emu.profiles())
    assert records["t520-cr"]["device_id"] == 0x5401
    assert records["t520-cr"]["memory_bytes"]["mc0"] == 8 << 20


def test_the_table_fits_80_columns(vmcoredd: Run) -> None:
    assert all(len(line.rstrip()) <= 80 for line in vmcoredd("cards").out.splitlines()[:-1])


def test_faults_are_listed_with_their_effect(vmcoredd: Run) -> None:
    shown = vmcoredd("cards", "--faults").out
    for fault in emu.faults().values():
        (line,) = [line for line in shown.splitlines() if line.split()[:1] == [fault.form]]
        assert fault.meaning in line


def test_faults_are_records_for_programs(vmcoredd: Run) -> None:
    records = vmcoredd("cards", "--faults", "--json").json["faults"]
    assert {record["name"] for record in records} == set(emu.faults())
    takes = {record["name"]: record["takes"] for record in records}
    assert takes["firmware-dead"] is None
    assert takes["firmware-retval"] == {
        "form": "RETVAL",
        "meaning": "a return value of the firmware",
        "example": "EBUSY",
    }
