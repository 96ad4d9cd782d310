"""A dump of a card that answered no read: each screen says so, beside the values."""

from __future__ import annotations

from pathlib import Path

import pytest
from carddump import collect, small
from cliruns import Run

from vmcoredd import cudbg
from vmcoredd.chip import T6
from vmcoredd.cli.exit_codes import Exit
from vmcoredd.cudbg.silent import FlatIo

AS_MADE = "This is what the driver makes of reads of all ones"


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare dump of such a card, without the large entities."""
    buffer, names = bytearray(1 << 20), ["REG_DUMP", "CLK", "MPS_TCAM", "TID_INFO", "TP_INDIRECT"]
    made = cudbg.collect(FlatIo(0xFF), cudbg.Device(T6, 0), memoryview(buffer), entities=names)
    path = tmp_path_factory.mktemp("silent") / "dump.bin"
    path.write_bytes(buffer[: made.data_len])
    return path


def test_entities_are_not_measured_and_incomplete(vmcoredd: Run, silent: Path) -> None:
    result = vmcoredd("show", silent, "--entity", "CLK", "--entity", "MPS_TCAM")
    assert result.out.splitlines()[1] == "NOT MEASURED"
    assert result.out.count(AS_MADE) == 2
    assert result.code == Exit.INCOMPLETE
    assert "dump.bin: CLK: not measured" in result.err


def test_a_message_that_ends_with_ones_is_shown(vmcoredd: Run, tmp_path: Path) -> None:
    data = collect(small(T6), "none", ("CIM_OBQ_NCSI", "RSS_VF_CONF")).data
    entity = cudbg.Dump(data).entity("CIM_OBQ_NCSI")
    end = entity.start + entity.size - entity.padding
    data[end - 64 : end] = b"\xff" * 64
    (tmp_path / "dump.bin").write_bytes(data)
    result = vmcoredd("show", tmp_path / "dump.bin", "--entity", "CIM_OBQ_NCSI")
    assert result.code == Exit.OK
    assert result.out.splitlines()[1] == "PERHAPS NOT MEASURED"
    assert "0x07f0  0xffffffff" in result.out


def test_programs_are_told_too(vmcoredd: Run, silent: Path) -> None:
    (entity,) = (
        one
        for one in vmcoredd("show", silent, "--entity", "TID_INFO", "--json").json["entities"]
        if one["name"] == "TID_INFO"
    )
    (text,) = entity["decoded"]
    assert text["text"] == "NOT MEASURED"


def test_registers_say_that_their_entity_was_not_measured(vmcoredd: Run, silent: Path) -> None:
    result = vmcoredd("show", silent, "--register", "PL_WHOAMI")
    assert result.out.startswith("REG_DUMP: not measured: " + AS_MADE)
    assert result.code == Exit.INCOMPLETE
    found = vmcoredd("show", silent, "--register", "PL_WHOAMI", "--json").json
    assert found["not_measured"]["REG_DUMP"].startswith("not measured: " + AS_MADE)


def test_of_a_card_that_answers_nothing_is_said(vmcoredd: Run, made: Path) -> None:
    found = vmcoredd("show", made, "--register", "PL_WHOAMI", "--json")
    assert (found.json["not_measured"], found.code) == ({}, Exit.OK)


def test_the_verdict_judges_by_no_value_of_it(vmcoredd: Run, silent: Path) -> None:
    found = vmcoredd("diagnose", silent, "--json").json
    rules = {finding["rule"] for finding in found["findings"]}
    assert "card-off-the-bus" in rules
    assert not {rule for rule in rules if rule.startswith(("tp-", "mps-", "sge-"))}
