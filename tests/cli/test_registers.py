"""`vmcoredd show --register` and the options that go with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from cliruns import Run

from vmcoredd.cli.exit_codes import Exit
from vmcoredd.cli.registers import Selection, select
from vmcoredd.cudbg.words import Word


def registers(run: Run, vmcore: Path, *options: str) -> list[dict[str, Any]]:
    result = run("show", vmcore, *options, "--json")
    assert result.code == Exit.OK, result.err
    found: list[dict[str, Any]] = result.json["registers"]
    return found


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("pl_whoami", {("PL_WHOAMI", "")}),
        ("EDC_H_INT_CAUSE", {("EDC_H_INT_CAUSE", "EDC0"), ("EDC_H_INT_CAUSE", "EDC1")}),
        ("edc1.*int_cause", {("EDC_H_INT_CAUSE", "EDC1")}),
        ("port1.MAC_PORT_CFG", {("MAC_PORT_CFG", "port 1")}),
        ("0x19400", {("PL_WHOAMI", "")}),
        ("PCIE_FW_PF[4]", {("PCIE_FW_PF[4]", "")}),
        ("tp_rx_sched_m?p", {("TP_RX_SCHED_MAP", "")}),
        (
            "MPS_PORT_STAT_TX_PORT_BYTES_L",
            {("MPS_PORT_STAT_TX_PORT_BYTES_L", f"port {i}") for i in (0, 1)},
        ),
    ],
)
def test_a_pattern_selects_by_name_instance_element_or_address(
    vmcoredd: Run, made: Path, pattern: str, names: set[tuple[str, str]]
) -> None:
    found = registers(vmcoredd, made, "--register", pattern)
    assert {(one["register"], one["instance"]) for one in found} == names


def test_the_screen_has_name_instance_address_value_and_fields(vmcoredd: Run, made: Path) -> None:
    lines = vmcoredd("show", made, "--register", "PL_WHOAMI").out.splitlines()
    head, row, hidden = lines[1:4]
    assert head.split() == ["register", "address", "value", "fields"]
    assert row.split()[:3] == ["PL_WHOAMI", "0x19400", "0x00000800"]
    assert "SourcePF=0x4" in row
    assert "=0x0" not in row
    assert hidden.endswith("hidden: --all shows them")
    every = vmcoredd("show", made, "--register", "PL_WHOAMI", "--all").out
    assert "=0x0" in every
    assert "hidden" not in every


def test_an_entity_s_screen_hides_zero_fields_too_and_says_how_many(
    vmcoredd: Run, made: Path
) -> None:
    few, every = (
        vmcoredd("show", made, "--entity", "TP_INDIRECT", *o).out for o in ([], ["--all"])
    )
    (line,) = [line for line in few.splitlines() if "hidden" in line]
    assert int(line.split()[0].replace(",", "")) == every.count("=0x0 ") + every.count("=0x0\n")
    assert "=0x0 " not in few


def test_the_halves_of_a_counter_are_one_row(vmcoredd: Run, made: Path) -> None:
    name = "MPS_PORT_STAT_TX_PORT_BYTES"
    halves = {
        (one["register"], one["instance"]): one["value"]
        for half in "LH"
        for one in registers(vmcoredd, made, "--register", f"{name}_{half}")
    }
    for one in registers(vmcoredd, made, "--register", f"{name}_*"):
        low, high = (halves[f"{name}_{half}", one["instance"]] for half in "LH")
        assert (one["register"], one["bits"], one["value"]) == (name, 64, high << 32 | low)
    assert f"= {low | high << 32:,}" in vmcoredd("show", made, "--register", f"{name}_*").out


def test_options_narrow_the_selection(vmcoredd: Run, made: Path) -> None:
    block = registers(vmcoredd, made, "--block", "sge")
    assert {one["block"] for one in block} == {"SGE"}
    nonzero = registers(vmcoredd, made, "--block", "sge", "--nonzero")
    assert nonzero == [one for one in block if one["value"]]
    matching = registers(vmcoredd, made, "--block", "sge", "--grep", "hostpagesizepf4=0x2")
    assert [one["register"] for one in matching] == ["SGE_HOST_PAGE_SIZE"]
    field = registers(vmcoredd, made, "--field", "HostPageSizePF[45]")
    assert [list(one["fields"]) for one in field] == [["HostPageSizePF5", "HostPageSizePF4"]]
    entity = registers(vmcoredd, made, "--entity", "TP_INDIRECT", "--register", "*")
    assert {one["entity"] for one in entity} == {"TP_INDIRECT"}


def test_nonzero_with_a_field_means_the_field(vmcoredd: Run, made: Path) -> None:
    options = ("--register", "PL_WHOAMI", "--nonzero", "--field")
    assert registers(vmcoredd, made, *options, "SourcePF")
    assert registers(vmcoredd, made, *options, "IsVF") == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--register", "PL_WHOAM"], "did you mean PL_WHOAMI?"),
        (["--register", "XYZZY_*"], "no register is called XYZZY_*"),
        (
            ["--register", "PL_WHOAMI", "--register", "SGE_INT_CUASE1"],
            "did you mean SGE_INT_CAUSE1",
        ),
        (["--register", "MC_UPCTL_SCFG"], "a T6 has no MC_UPCTL_SCFG, only a T5"),
        (["--register", "PCIE_MEMWIN0"], "is not among the registers of the dump"),
        (["--register", "PL_WHOAMI", "--field", "SorcePF"], "did you mean SourcePF or SourceBus?"),
        (["--register", "PL_WHOAMI", "--field", "zzz"], "PL_WHOAMI has no field zzz; there are "),
        (["--field", "zzz"], "registers has a field zzz; --all shows the fields of each"),
        (["--block", "SGX"], "no block is called SGX; did you mean SGE?"),
        (["--grep", "("], "( is no regular expression"),
        (["--nonzero", "--raw", "--entity", "REG_DUMP"], "not registers"),
    ],
)
def test_what_selects_nothing_by_mistake_is_wrong_usage(
    vmcoredd: Run, made: Path, options: list[str], message: str
) -> None:
    result = vmcoredd("show", made, *options)
    assert result.code == Exit.USAGE
    assert message in result.err
    assert len(result.err) < 500


def test_a_selection_that_is_empty_by_the_values_is_no_error(vmcoredd: Run, made: Path) -> None:
    result = vmcoredd("show", made, "--register", "EDC_H_INT_CAUSE", "--nonzero")
    assert (result.code, result.out) == (Exit.OK, "no register matches all options\n")


def test_only_registers_with_a_known_value_after_reset_are_compared_with_it(
    vmcoredd: Run, made: Path
) -> None:
    out = vmcoredd("show", made, "--block", "SGE", "--changed-from-reset").out
    known, unknown = re.findall(r"known for (\d+) of [\d,]+ words\.\nThe ([\d,]+) others", out)[0]
    assert int(known) > 10
    assert int(unknown) > 100
    assert "others are not shown: they may have changed or not." in out
    from vmcoredd.chip import T6

    page = T6.r.SGE_HOST_PAGE_SIZE
    words = [Word("REG_DUMP", "bar0", int(page), value, page, 0) for value in (0x22222222, 5)]
    words.append(Word("REG_DUMP", "bar0", int(T6.r.PL_INT_CAUSE), 1, T6.r.PL_INT_CAUSE, 0))
    assert [row.value for row in select(words, Selection(changed=True), T6)] == [5]


def test_the_help_says_of_how_many_registers_the_value_after_reset_is_known(
    vmcoredd: Run, made: Path
) -> None:
    counts = {
        vmcoredd(
            "show", made, "--index", index, "--register", "*", "--changed-from-reset", "--json"
        ).json["reset"]["known"]
        for index in (0, 1)
    }
    shown = " ".join(re.sub(r"[│╰╯─]", " ", vmcoredd("show", "--help").out).split())
    (told,) = re.findall(r"they are known for (\d+) words of a dump", shown)
    assert counts == {int(told)}


def test_what_cannot_be_judged_is_not_said_to_be_unchanged(vmcoredd: Run, made: Path) -> None:
    out = vmcoredd("show", made, "--register", "PL_INT_CAUSE", "--changed-from-reset").out
    assert out.startswith("no register whose value after reset is known differs")
    assert "known for 0 of 1 word.\nThe 1 other is not shown: it may have changed or not." in out


def test_a_damaged_register_dump_is_damage_and_other_registers_are_shown(
    vmcoredd: Run, copied: Path
) -> None:
    from vmcoredd import cudbg, vmcore
    from vmcoredd.cudbg.container import PIECE_HEADER_BYTES

    with vmcore.Reader(copied) as reader:
        payload = bytes(reader.payload(reader.device_dumps[0].index))
    entity = cudbg.Dump(payload).entity("REG_DUMP")
    data = copied.read_bytes()
    at = data.index(payload) + entity.start + PIECE_HEADER_BYTES
    copied.write_bytes(data[:at] + bytes(40) + data[at + 40 :])
    result = vmcoredd("show", copied, "--register", "TP_RX_SCHED_MAP")
    assert result.code == Exit.BAD_FILE
    assert "TP_RX_SCHED_MAP" in result.out
    assert "REG_DUMP" in result.err


def test_a_selection_in_an_entity_without_registers_is_refused(vmcoredd: Run, made: Path) -> None:
    result = vmcoredd("show", made, "--entity", "DEV_LOG", "--grep", "ECC")
    assert result.code == 2
    assert "--entity: DEV_LOG: it holds no registers" in result.err
