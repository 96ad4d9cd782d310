"""`vmcoredd diagnose`: the screen, exit codes and JSON of a verdict; `show` begins with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from busy_card import FCS, LENGTH, TAKEN, Busy
from carddump import collect, collected
from cliruns import Run
from labelled import labelled
from vmcore_files import Elf, dump_note, pad

from vmcoredd.chip import T6
from vmcoredd.cli.verdict import in_words
from vmcoredd.cudbg import Dump
from vmcoredd.cudbg.slim import slimmed
from vmcoredd.diagnosis.finding import Evidence


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dump of a card without faults."""
    path = tmp_path_factory.mktemp("healthy") / "dump.bin"
    path.write_bytes(collected(T6).data)
    return path


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dump of a card whose memory failed, so that its firmware crashed."""
    path = tmp_path_factory.mktemp("crashed") / "dump.bin"
    path.write_bytes(labelled("ecc-uncorrectable-edc0", "firmware-crash").made.data)
    return path


def test_a_healthy_card_ends_with_code_0(vmcoredd: Run, healthy: Path) -> None:
    result = vmcoredd("diagnose", healthy)
    assert result.code == 0
    assert "firmware 1.27.5.0: initialized, no error reported" in result.out
    assert "no findings above note" in result.out


def test_a_finding_ends_with_code_7_and_the_cause_comes_first(vmcoredd: Run, crashed: Path) -> None:
    result = vmcoredd("diagnose", crashed)
    assert result.code == 7
    lines = result.out.splitlines()
    assert lines[1].endswith(": crashed")
    assert lines[2].split() == ["fatal", "edc-ecc-uncorrectable"]
    assert (
        "REG_DUMP, EDC0, EDC_H_INT_CAUSE at 0x50078: 0x00000004 ECC_UE_INT_CAUSE=0x1" in result.out
    )
    assert "perhaps because of edc-ecc-uncorrectable" in result.out


def test_what_a_log_says_several_times_is_one_line() -> None:
    again, other = Evidence("DEV_LOG", "ERR CORE: again"), Evidence("DEV_LOG", "ERR CORE: other")
    assert list(in_words([again, again, again, other])) == [
        "DEV_LOG: ERR CORE: again (3 times)",
        "DEV_LOG: ERR CORE: other",
    ]


def test_json_has_each_finding_with_the_index_of_its_dump(vmcoredd: Run, crashed: Path) -> None:
    record = vmcoredd("diagnose", crashed, "--json").json
    first = record["findings"][0]
    assert (first["dump"], first["severity"], first["instance"]) == (0, "fatal", "EDC0")
    assert record["cards"][0]["state"] == "crashed"
    assert record["lost"] == []


def test_a_damaged_file_ends_with_code_3_and_is_judged_all_the_same(
    vmcoredd: Run, crashed: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.bin"
    cut.write_bytes(crashed.read_bytes()[:2000])
    result = vmcoredd("diagnose", cut)
    assert result.code == 3
    assert "lost: " in result.out


def test_show_begins_with_the_verdict(vmcoredd: Run, crashed: Path, healthy: Path) -> None:
    lines = vmcoredd("show", crashed).out.splitlines()
    assert lines[0].startswith("T62100-CR, T6 rev 0, serial ")
    assert lines[2].startswith("fatal    edc-ecc-uncorrectable: EDC0: ")
    assert "no findings above note" in vmcoredd("show", healthy).out.splitlines()[2]


def test_show_says_what_the_card_was_busy_with(vmcoredd: Run, tmp_path: Path) -> None:
    busy = Busy("t62100-cr")
    (tmp_path / "dump").write_bytes(
        collect(busy.card, "none", entities=("REG_DUMP", "DUMP_CONTEXT")).data
    )
    first, activity = vmcoredd("show", tmp_path / "dump").out.split("\n\n")[:2]
    octets = TAKEN * (LENGTH + FCS)
    assert first.startswith("a card without a name, T6 rev 0, 2 ports\n")
    assert "the SGE had not finished the work of 1 of 2 egress queues" in activity
    assert f"1 of 2 ingress queues, {TAKEN} entries in all" in activity
    assert activity.splitlines()[-2:] == [
        f"port 0: received 0 frames (0 bytes), sent {TAKEN} ({octets} bytes)",
        f"port 1: received {TAKEN} frames ({octets} bytes), sent 0 (0 bytes)",
    ]
    lines = vmcoredd("diagnose", tmp_path / "dump").out.splitlines()
    place = f"         DUMP_CONTEXT, egress queue {busy.sent}: PIDX=40 CIDX=28 PCIeDataChannel=0"
    assert place in lines


def test_the_first_screen_folds_what_a_finding_means(vmcoredd: Run, crashed: Path) -> None:
    lines = vmcoredd("show", crashed).out.split("\n\n")[0].splitlines()
    assert max(map(len, lines)) <= 100
    assert (
        "EDC0: uncorrectable ECC data error: a word was read with too many wrong bits fatal "
        in " ".join(" ".join(lines).split())
    )


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, healthy: Path, crashed: Path) -> Path:
    """A vmcore with both dumps, the crashed card's last."""
    dumps = [(b"cxgb4_0000:01:00.4", healthy), (b"cxgb4_0000:02:00.4", crashed)]
    notes = [pad(dump_note(name, dump.read_bytes())) for name, dump in dumps]
    path = tmp_path_factory.mktemp("two") / "vmcore"
    path.write_bytes(bytes(Elf(notes=[b"".join(notes)])))
    return path


def test_the_first_screen_says_what_is_wrong_with_the_other_dumps(vmcoredd: Run, two: Path) -> None:
    lines = vmcoredd("show", two).out.splitlines()
    assert lines[2].startswith("no findings above note")
    assert lines[3] == "1 more device dump:"
    assert "fatal: edc-ecc-uncorrectable and " in lines[4]
    assert "`--index 1`" in lines[4]


def test_who_names_a_note_is_told_of_no_other(vmcoredd: Run, two: Path) -> None:
    assert "more device dump" not in vmcoredd("show", two, "--index", 1).out


def test_the_exit_code_of_a_finding_is_in_the_help(vmcoredd: Run) -> None:
    assert "7 diagnose" in " ".join(vmcoredd("--help").out.split())


@pytest.mark.parametrize("size", [40_000, 60_000, 300_000])
def test_a_dump_that_was_cut_is_damaged_whatever_is_found(
    vmcoredd: Run, healthy: Path, tmp_path: Path, size: int
) -> None:
    (tmp_path / "cut").write_bytes(healthy.read_bytes()[:size])
    result = vmcoredd("diagnose", tmp_path / "cut")
    assert result.code == 3
    assert "are lost" in result.err


def test_what_slim_left_out_is_no_finding(vmcoredd: Run, healthy: Path, tmp_path: Path) -> None:
    assert vmcoredd("slim", healthy, "-o", tmp_path / "slim").code == 0
    result = vmcoredd("diagnose", tmp_path / "slim")
    assert (result.code, "no findings above note" in result.out) == (0, True)


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The crashed card's dump, cut in the middle of REG_DUMP: PCIE_FW is left, EDC0's are not."""
    made = labelled("ecc-uncorrectable-edc0", "firmware-crash").made
    path = tmp_path_factory.mktemp("cut") / "dump.bin"
    path.write_bytes(made.data[: made.dump.entity("REG_DUMP").start + 0x10000])
    return path


def test_a_dump_cut_among_its_registers_is_judged_by_those_that_are_left(
    vmcoredd: Run, cut: Path
) -> None:
    result = vmcoredd("diagnose", cut)
    assert result.code == 3
    assert result.out.splitlines()[1] == "firmware of unknown version: crashed"
    assert "\nfatal    firmware-crash\n" in result.out
    assert "\nfatal    edc-ecc-uncorrectable\n" not in result.out
    assert "lost: REG_DUMP: need " in result.out
    assert "REG_DUMP" in result.err


def test_the_first_screen_of_a_cut_dump_has_what_is_left_of_the_verdict(
    vmcoredd: Run, cut: Path
) -> None:
    result = vmcoredd("show", cut)
    assert result.code == 3
    lines = result.out.splitlines()
    assert lines[1] == "firmware of unknown version: crashed"
    assert lines[2].startswith("some of the dump could not be judged: ")
    assert lines[3].startswith("fatal    firmware-crash: ")


def test_what_could_not_be_judged_ends_with_code_5(
    vmcoredd: Run, healthy: Path, tmp_path: Path
) -> None:
    dump = Dump(healthy.read_bytes())
    half = dump.raw("REG_DUMP")[: dump.size("REG_DUMP") // 2]
    (tmp_path / "half").write_bytes(slimmed(dump, {}, {"REG_DUMP": half}))
    result = vmcoredd("diagnose", tmp_path / "half")
    assert "lost: REG_DUMP ends before its last registers" in result.out
    assert result.code == 5


@pytest.mark.parametrize("name", ["REG_DUMP", "LE_TCAM", "EDC0"])
def test_the_list_of_entities_says_which_are_damaged(
    vmcoredd: Run, tmp_path: Path, name: str
) -> None:
    dump = collected(T6, "zlib").dump
    data, entity = bytearray(dump.data), dump.entity(name)
    data[entity.start + entity.size - entity.padding - 1] ^= 0xFF  # of its checksum
    (tmp_path / "damaged").write_bytes(data)
    result = vmcoredd("show", tmp_path / "damaged")
    assert result.code == 3
    rows = [line.split() for line in result.out.splitlines() if line.rstrip().endswith(" damaged")]
    assert [row[1] for row in rows] == [name]
    assert f"{name}: piece at " in result.err
