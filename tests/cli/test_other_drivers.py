"""Device dumps of other drivers than cxgb4 are listed, named and extracted, and never refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from carddump import collected
from cliruns import Run, one_line
from vmcore_files import Elf, dump_note, pad

from vmcoredd.chip import T6
from vmcoredd.cli.exit_codes import Exit

OTHER, OURS = "qed_0000:03:00.0", "cxgb4_0000:01:00.4"
PAYLOAD = b"QED crash data, version 7\n" + bytes(range(256)) * 16
DUMP = bytes(collected(T6).data[: 4 << 20])


def written(path: Path, *dumps: tuple[str, bytes]) -> Path:
    notes = [pad(dump_note(name.encode(), payload)) for name, payload in dumps]
    path.write_bytes(bytes(Elf(notes=[b"".join(notes)])))
    return path


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vmcore whose first device dump is another driver's, and whose second is an adapter's."""
    path = tmp_path_factory.mktemp("others") / "vmcore"
    return written(path, (OTHER, PAYLOAD), (OURS, DUMP))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vmcore with nothing but another driver's device dump."""
    return written(tmp_path_factory.mktemp("others") / "vmcore", (OTHER, PAYLOAD))


def test_notes_lists_both(vmcoredd: Run, both: Path) -> None:
    result = vmcoredd("notes", both)
    assert (result.code, result.err) == (Exit.OK, "")
    assert OTHER in result.out
    assert OURS in result.out
    assert "other drivers' device dumps: note 0; `vmcoredd extract`" in result.out
    other, ours = vmcoredd("notes", both, "--json").json["notes"]
    assert (other["is_foreign"], other["name"], other["adapter"]) == (True, OTHER, None)
    assert (ours["is_foreign"], ours["adapter"], ours["good"]) == (False, "T6 rev 0", 50)


def test_show_shows_the_adapters_dump_and_names_the_other(vmcoredd: Run, both: Path) -> None:
    result = vmcoredd("show", both)
    assert result.code == Exit.OK
    assert OURS in result.out
    assert "REG_DUMP" in result.out
    hint = f"`vmcoredd extract {both} --index 0 -o note0.bin` writes it"
    assert result.err == f"note 0 ({OTHER}) is another driver's device dump: {hint}\n"
    record = vmcoredd("show", both, "--json").json
    assert (record["index"], record["name"]) == (1, OURS)
    assert record["other_drivers"] == [{"index": 0, "name": OTHER, "size_bytes": len(PAYLOAD)}]


@pytest.mark.parametrize("arguments", [[], ["--index", "0"]], ids=["alone", "by its index"])
def test_show_shows_what_can_be_told_of_another_drivers_dump(
    vmcoredd: Run, both: Path, foreign: Path, arguments: list[str]
) -> None:
    path = both if arguments else foreign
    result = vmcoredd("show", path, *arguments)
    assert (result.code, result.err) == (Exit.OK, "")
    lines = result.out.splitlines()
    assert lines[0] == f"{OTHER}: another driver's device dump, 4,122 bytes"
    assert lines[1] == f"  00000000  {PAYLOAD[:16].hex(' ')}  QED crash data, "
    assert lines[-2] == "  ... 3,866 more bytes"
    assert f"`vmcoredd extract {path} --index 0 -o note0.bin` writes it" in lines[-1]
    record = vmcoredd("show", path, *arguments, "--json").json
    assert (record["adapter"], record["entities"]) == (None, [])
    assert bytes.fromhex(record["first_bytes"]) == PAYLOAD[:256]


def test_show_has_no_entities_of_another_drivers_dump(vmcoredd: Run, both: Path) -> None:
    result = vmcoredd("show", both, "--index", 0, "--entity", "CLK")
    assert result.code == Exit.USAGE
    assert "another driver's device dump has no entities; `vmcoredd extract" in result.err


def test_extract_writes_another_drivers_dump(vmcoredd: Run, both: Path, tmp_path: Path) -> None:
    output = tmp_path / "other.bin"
    assert vmcoredd("extract", both, "--index", 0, "-o", output).code == Exit.OK
    assert output.read_bytes() == PAYLOAD


def test_diff_compares_the_adapters_dumps_and_others_as_bytes(
    vmcoredd: Run, both: Path, foreign: Path, tmp_path: Path
) -> None:
    assert "52 entities are equal" in vmcoredd("diff", both, both).out
    same = vmcoredd("diff", both, foreign, "--index", 0)
    assert (same.code, same.out.split(";")[0]) == (Exit.OK, "the payloads are equal")
    changed = written(tmp_path / "changed", (OTHER, PAYLOAD[:-1] + b"!"))
    result = vmcoredd("diff", foreign, changed)
    assert result.code == Exit.INCOMPLETE
    assert "payload: 1 of 4,122 bytes, first at 0x1019" in result.out
    record = vmcoredd("diff", both, changed, "--json").json
    assert record["different"][0]["what"] == f"{len(DUMP):,} bytes in a, 4,122 in b"
    refused = vmcoredd("diff", "--card-only", foreign, changed)
    assert refused.code == Exit.USAGE
    assert "--card-only: another driver's dump does not tell" in refused.err


def test_diagnose_skips_another_drivers_dump_with_a_line(vmcoredd: Run, both: Path) -> None:
    result = vmcoredd("diagnose", both)
    assert result.code == Exit.OK
    assert f"{OTHER}: another driver's device dump; no rule applies\n" in result.out
    assert "T62100-CR" in result.out
    record = vmcoredd("diagnose", both, "--json").json
    assert [card["dump"] for card in record["cards"]] == [1]
    assert record["other_drivers"] == [{"index": 0, "name": OTHER, "size_bytes": len(PAYLOAD)}]


def test_another_signature_in_a_dump_of_cxgb4_is_damage(vmcoredd: Run, tmp_path: Path) -> None:
    path = written(tmp_path / "vmcore", (OURS, b"\x78\x56\x34\x12" + DUMP[4:]))
    result = vmcoredd("show", path)
    assert result.code == Exit.BAD_FILE
    assert "not a cudbg dump: signature 0x12345678" in one_line(result)
    assert vmcoredd("diagnose", path).code == Exit.BAD_FILE
    listed = vmcoredd("notes", path, "--json")
    assert listed.code == Exit.BAD_FILE
    (record,) = listed.json["notes"]
    assert (record["is_foreign"], record["adapter"]) == (False, None)
    assert record["damage"] == "not a cudbg dump: signature 0x12345678"


def test_a_name_of_another_driver_does_not_control_the_terminal(
    vmcoredd: Run, tmp_path: Path
) -> None:
    path = written(tmp_path / "vmcore", ("\x1b[2Jevil", b"\x1b]0;x\x07" * 9), (OURS, DUMP))
    for words in (["notes"], ["show"], ["show", "--index", "0"]):
        result = vmcoredd(*words[:1], path, *words[1:])
        assert result.code == Exit.OK
        assert "\x1b" not in result.out + result.err
        assert "\\x1b[2Jevil" in result.out + result.err


def test_an_empty_or_tiny_dump_is_another_drivers(vmcoredd: Run, tmp_path: Path) -> None:
    path = written(tmp_path / "vmcore", ("a", b""), ("b", b"xy"))
    assert vmcoredd("show", path).out.startswith("a: another driver's device dump, 0 bytes\n")
    assert "78 79" in vmcoredd("show", path, "--index", 1).out
