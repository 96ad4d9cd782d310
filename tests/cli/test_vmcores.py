"""`vmcoredd notes`, `show`, `extract` and `diff`, also on damaged vmcores."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from pathlib import Path

import pytest
from cliruns import Run, command, one_line, spawned
from vmcore_files import Elf, dump_note, note

from vmcoredd import cudbg, vmcore
from vmcoredd.cli.commands.notes import CONDITIONS
from vmcoredd.cli.exit_codes import Exit
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.status import Condition

NOTE_AT = 0x1000
"""The first note's offset: after the ELF header's page."""
PAYLOAD_AT = NOTE_AT + 64
PAYLOAD_BYTES = 0x02000FC0
ENTITY_HEADERS = PAYLOAD_AT + 56
NAMES = ["cxgb4_0000:00:02.0", "cxgb4_0000:00:03.0"]


def patch(path: Path, at: int, form: str, value: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(struct.pack(form, value))


def entity_field(number: int, offset: int) -> int:
    """Returns the offset in the file of a field of an entity's header."""
    return ENTITY_HEADERS + 52 * (number - 1) + offset


# notes


def test_notes_are_listed_device_dumps_first(vmcoredd: Run, made: Path) -> None:
    result = vmcoredd("notes", made)
    assert (result.code, result.err) == (Exit.OK, "")
    listed, adapters = result.out.split("Adapters")
    assert max(map(len, result.out.splitlines())) <= 80
    rows = [line.split() for line in listed.splitlines() if line.strip()[:1].isdigit()]
    assert [row[0] for row in rows] == [str(i) for i in range(len(rows))]
    assert [(row[2], row[3], row[-1]) for row in rows[:2]] == [
        ("33,558,508", "LINUX", name) for name in NAMES
    ]
    assert {row[3] for row in rows[2:]} == {"CORE", "VMCOREINFO"}
    rows = [line.split() for line in adapters.splitlines() if line.strip()[:1].isdigit()]
    assert [row[:5] for row in rows] == [
        ["0", "T6", "rev", "0", "50"],
        ["1", "T5", "rev", "1", "48"],
    ]


def many_notes(path: Path, notes: bytes, dumps: bytes = b"") -> Path:
    """A vmcore with these notes, and nothing else."""
    path.write_bytes(bytes(Elf([notes + dumps])))
    return path


def test_no_notes_are_said(vmcoredd: Run, tmp_path: Path) -> None:
    result = vmcoredd("notes", many_notes(tmp_path / "none", b""))
    assert (result.code, result.out) == (Exit.OK, "no notes\n")


def test_a_table_has_the_first_notes_and_every_device_dump(vmcoredd: Run, tmp_path: Path) -> None:
    """A listing of a million notes takes no longer than what it shows."""
    dumps = dump_note(b"first", b"1234") + dump_note(b"second", b"1234")
    path = many_notes(tmp_path / "many", note(b"CORE", 1, b"1234") * 3000, dumps)
    result = vmcoredd("notes", path)
    assert result.code == Exit.OK
    assert "second" in result.out
    assert result.out.splitlines()[-1] == "2,502 more notes: --all lists them"
    assert "more notes" not in vmcoredd("notes", path, "--all").out
    assert len(vmcoredd("notes", path, "--json").json["notes"]) == 3002


def test_one_that_is_left_out_is_said_in_the_singular(vmcoredd: Run, tmp_path: Path) -> None:
    result = vmcoredd("notes", many_notes(tmp_path / "notes", note(b"CORE", 1, b"1234") * 501))
    assert result.out.splitlines()[-1] == "1 more note: --all lists it"
    result = vmcoredd("notes", many_notes(tmp_path / "bad", note(b"LINUX", 0x700, b"1234") * 21))
    assert result.err.endswith("damaged: 1 more place: --json lists it\n")


def test_the_limit_of_notes_is_said(vmcoredd: Run, tmp_path: Path) -> None:
    path = many_notes(tmp_path / "many", note(b"CORE", 1, b"") * 70_000)
    result = vmcoredd("notes", path)
    assert result.code == Exit.BAD_FILE
    assert result.err == "damaged: notes: need at most 65536, have more, which are not listed\n"


def test_of_many_places_that_are_damaged_the_first_are_shown(vmcoredd: Run, tmp_path: Path) -> None:
    path = many_notes(tmp_path / "many", note(b"LINUX", 0x700, b"1234") * 100)
    result = vmcoredd("notes", path)
    assert result.code == Exit.BAD_FILE
    assert len(result.err.splitlines()) == 21
    assert result.err.endswith("damaged: 80 more places: --json lists them\n")
    assert len(vmcoredd("notes", path, "--json").json["damage"]) == 100


def test_notes_are_records_for_programs(vmcoredd: Run, made: Path) -> None:
    record = vmcoredd("notes", made, "--json").json
    first, second = record["notes"][:2]
    assert record["damage"] == []
    assert (first["offset_bytes"], first["size_bytes"], first["type"]) == (
        NOTE_AT,
        0x02000FEC,
        0x700,
    )
    assert (first["name"], first["adapter"], first["good"]) == (NAMES[0], "T6 rev 0", 50)
    assert (second["adapter"], second["good"], second["absent"]) == ("T5 rev 1", 48, 4)
    assert (first["partial"], first["absent"], first["missing"]) == (0, 2, 0)


def test_notes_counts_entities_by_their_condition(vmcoredd: Run, copied: Path) -> None:
    patch(copied, entity_field(46, 12), "<i", -29)
    patch(copied, entity_field(54, 16), "<i", -41)
    note = vmcoredd("notes", copied, "--json").json["notes"][0]
    counts = [note[condition] for condition in ("good", "partial", "absent", "missing")]
    assert counts == [48, 1, 2, 1]
    row = vmcoredd("notes", copied).out.split("Adapters")[1]
    assert row.splitlines()[4].split() == ["0", "T6", "rev", "0", "48", "1", "2", "1", "zlib"]


@pytest.mark.parametrize("size", [0, 3, 63, 64, 100, 0x1000, 0x1040, 0x100000])
def test_a_truncated_vmcore_is_read_to_its_end(vmcoredd: Run, copied: Path, size: int) -> None:
    os.truncate(copied, size)
    result = vmcoredd("notes", copied)
    assert result.code == Exit.BAD_FILE
    assert "Traceback" not in result.err
    assert result.err.startswith(("vmcoredd: ", "damaged: "))


@pytest.mark.parametrize("lie", [0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0x02000FF0])
def test_a_note_with_a_false_size_is_reported(vmcoredd: Run, copied: Path, lie: int) -> None:
    patch(copied, NOTE_AT + 4, "<I", lie)
    result = vmcoredd("notes", copied)
    assert result.code == Exit.BAD_FILE
    assert "damaged: " in result.err


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 4096, b"\x7fELF", b"KDUMP   " + b"\xff" * 8192], ids=len
)
@pytest.mark.parametrize("word", ["notes", "show"])
def test_a_file_that_is_not_a_vmcore_is_refused_by_name(
    vmcoredd: Run, tmp_path: Path, word: str, content: bytes
) -> None:
    path = tmp_path / "strange"
    path.write_bytes(content)
    result = vmcoredd(word, path)
    assert result.code == Exit.BAD_FILE
    assert one_line(result).startswith(f"vmcoredd: {path}: ")


@pytest.mark.parametrize("word", ["notes", "show"])
def test_a_folder_or_a_device_is_refused_and_an_absent_file_is_reported(
    vmcoredd: Run, tmp_path: Path, word: str
) -> None:
    for path in (tmp_path, Path("/dev/null")):
        assert vmcoredd(word, path).code == Exit.BAD_FILE
    result = vmcoredd(word, tmp_path / "absent")
    assert result.code == Exit.FAILED
    assert "No such file or directory" in one_line(result)


# show


def test_a_dump_is_listed_entity_by_entity(vmcoredd: Run, made: Path) -> None:
    result = vmcoredd("show", made, "--index", 0)
    rows = [line.split() for line in result.out.splitlines() if line.strip()[:1].isdigit()]
    assert result.code == Exit.OK
    assert [row[1] for row in rows] == list(entities())
    assert sum(row[-1] == "good" for row in rows) == 50


def test_the_second_dump_is_shown_by_its_index(vmcoredd: Run, made: Path) -> None:
    assert f"\n{NAMES[1]}: T5 rev 1" in vmcoredd("show", made, "--index", 1).out


@pytest.mark.parametrize("name", ["CLK", "clk"])
def test_an_entity_is_decoded(vmcoredd: Run, made: Path, name: str) -> None:
    shown = vmcoredd("show", made, "--entity", name).out
    assert shown.startswith("CLK (entity 46)\n")
    assert "retransmit min" in shown


def test_several_entities_are_shown_in_the_order_given(vmcoredd: Run, made: Path) -> None:
    shown = vmcoredd("show", made, "--entity", "VPD_DATA", "--entity", "CLK").out
    assert shown.index("VPD_DATA (entity 58)") < shown.index("CLK (entity 46)")


def test_everything_can_be_shown_at_once(made: Path) -> None:
    done = spawned("show", made, "--entity", "all")
    assert done.returncode == Exit.OK
    for entity in entities().values():
        assert f"{entity.name} (entity {entity.number})\n" in done.stdout
    assert "not in the dump: this adapter has none" in done.stdout


def test_an_entity_is_a_record_for_programs(vmcoredd: Run, made: Path) -> None:
    record = vmcoredd("show", made, "--entity", "PATH_MTU", "--entity", "HMA", "--json").json
    mtus, absent = record["entities"]
    assert [row["MTU in bytes"] for row in mtus["decoded"][0]["rows"]][-1] == 9600
    assert "decoded" not in absent
    assert (absent["code"], absent["sys_err"]) == (-29, -24)
    every = vmcoredd("show", made, "--json").json["entities"]
    assert len(every) == 52
    assert not any("decoded" in entity for entity in every)


def test_everything_is_a_record_for_programs(made: Path) -> None:
    done = spawned("show", made, "--index", 1, "--entity", "all", "--json")
    entities = json.loads(done.stdout)["entities"]
    assert {entity["name"] for entity in entities if entity["code"] == 0} == {
        entity["name"] for entity in entities if "decoded" in entity
    }


def test_as_many_rows_are_shown_as_are_allowed(vmcoredd: Run, made: Path) -> None:
    arguments = ("show", made, "--entity", "PATH_MTU", "--entity", "REG_DUMP", "--rows")
    shown = vmcoredd(*arguments, 20)
    assert shown.code == Exit.OK
    assert shown.err == "only the first 20 rows are shown: --rows 0 shows all\n"
    assert "PL_WHOAMI" not in shown.out
    everything = vmcoredd(*arguments, 0)
    assert (everything.err, "PL_WHOAMI" in everything.out) == ("", True)
    around = 2 * len(["entity", "empty line"]) + 3 * len(["title", "columns"]) + len(["hidden"])
    assert len(shown.out.splitlines()) == 20 + around


def test_programs_are_told_that_rows_were_left_out(vmcoredd: Run, made: Path) -> None:
    arguments = ("show", made, "--entity", "PATH_MTU", "--json", "--rows")
    for most, rows, left_out in ((15, 15, True), (16, 16, False), (0, 16, False)):
        record = vmcoredd(*arguments, most).json
        assert record["rows_left_out"] is left_out
        (mtus,) = [e["decoded"] for e in record["entities"] if e["name"] == "PATH_MTU"]
        assert len(mtus[0]["rows"]) == rows


def test_a_dump_that_ends_in_its_headers_is_damaged(vmcoredd: Run, copied: Path) -> None:
    os.truncate(copied, PAYLOAD_AT + 56)
    for arguments in (["show", copied], ["show", copied, "--json"], ["diff", copied, copied]):
        result = vmcoredd(*arguments)
        assert result.code == Exit.BAD_FILE
        assert "headers: need 3800 bytes, have 56" in result.err
    assert vmcoredd("show", copied, "--entity", "CLK").code == Exit.BAD_FILE


def test_the_conditions_of_notes_are_those_of_entities() -> None:
    assert tuple(Condition) == CONDITIONS


def test_an_entitys_bytes_go_to_stdout(made: Path) -> None:
    command_line = command("show", made, "--entity", "CCTRL", "--raw")
    done = subprocess.run(command_line, capture_output=True, check=True)
    with vmcore.Reader(made) as reader:
        assert done.stdout == cudbg.Dump(bytes(reader.payload(0))).raw("CCTRL")


def test_a_region_of_a_memory_is_shown_as_bytes(vmcoredd: Run, made: Path) -> None:
    shown = vmcoredd("show", made, "--entity", "MC0", "--hexdump", "TCBs").out.splitlines()
    (head,) = [i for i, line in enumerate(shown) if line.endswith("  TCBs")]
    assert shown[head + 1].startswith(f"  {int(shown[head].split('-')[0], 16):08x}  ")
    assert sum(len(line) > 60 for line in shown) > 8


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--entity", "RSSS"], Exit.USAGE, "no entity is called RSSS; did you mean RSS"),
        (["--index", "99"], Exit.USAGE, "no note 99: the file has"),
        (["--index", "-1"], Exit.USAGE, "no note -1"),
        (["--index", "2"], Exit.USAGE, "note 2 is not a device dump but CORE NT_PRSTATUS"),
        (["--raw"], Exit.USAGE, "--raw takes exactly one --entity"),
        (["--entity", "HMA", "--raw"], Exit.USAGE, "HMA is not in the dump: this adapter has none"),
        (
            ["--entity", "MC0", "--hexdump", "TCP"],
            Exit.USAGE,
            "no region is called TCP; there are MC0",
        ),
        (["--entity", "CLK", "--hexdump", "TCBs"], Exit.USAGE, "--entity names no memory"),
        (["--entity", "HMA"], Exit.OK, ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_entity_that_is_not_in_the_dump_is_refused(
    vmcoredd: Run, made: Path, arguments: list[str], code: Exit, says: str
) -> None:
    result = vmcoredd("show", made, *arguments)
    assert result.code == code
    assert says in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("number", "offset", "value", "name"),
    [
        (46, 4, 0xFFFFFF00, "CLK"),
        (46, 8, 0x7FFFFFFF, "CLK"),
        (46, 8, 8, "CLK"),
        (46, 24, 0xFF, "CLK"),
        (18, 8, 0x01FFFFFF, "EDC0"),
        (56, 4, 0, "DUMP_CONTEXT"),
    ],
)
def test_an_entity_with_a_false_size_or_offset_is_refused(
    vmcoredd: Run, copied: Path, number: int, offset: int, value: int, name: str
) -> None:
    patch(copied, entity_field(number, offset), "<B" if offset == 24 else "<I", value)
    result = vmcoredd("show", copied, "--entity", name)
    assert result.code == Exit.BAD_FILE
    assert name in one_line(result)
    assert str(copied) in result.err


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--entity", "all"]], ids=" ".join)
def test_entities_beside_a_damaged_one_are_shown(
    vmcoredd: Run, copied: Path, arguments: list[str]
) -> None:
    patch(copied, entity_field(46, 8), "<I", 0x7FFFFFFF)
    result = vmcoredd("show", copied, *arguments)
    assert result.code == Exit.BAD_FILE
    assert f"vmcoredd: {copied}: CLK: need 2147483647 bytes, have 33" in one_line(result)
    assert "LE_TCAM" in result.out


def test_an_entity_with_anothers_header_is_damaged(vmcoredd: Run, copied: Path) -> None:
    patch(copied, entity_field(46, 0), "<I", 47)
    result = vmcoredd("show", copied)
    assert result.code == Exit.BAD_FILE
    assert one_line(result) == f"vmcoredd: {copied}: CLK: its header is that of entity 47"
    assert len(vmcoredd("show", copied, "--json").json["entities"]) == 52


def test_the_remaining_part_of_a_truncated_dump_is_shown(vmcoredd: Run, copied: Path) -> None:
    os.truncate(copied, PAYLOAD_AT + 200_000)
    result = vmcoredd("show", copied, "--json")
    states = {entity["name"]: entity["damage"] for entity in result.json["entities"]}
    assert result.code == Exit.BAD_FILE
    assert states["MBOX_LOG"] is None
    assert states["HMA"] is None
    assert states["MC0"].startswith("MC0: need ")


def test_text_from_a_file_does_not_control_the_terminal(vmcoredd: Run, copied: Path) -> None:
    with copied.open("r+b") as file:
        file.seek(NOTE_AT + 20)
        file.write(b"\x1b[2J[red]\x07evil".ljust(44, b"\0"))
    for command_line in (["notes", copied], ["show", copied]):
        shown = vmcoredd(*command_line).out
        assert "\\x1b[2J[red]\\x07evil" in shown
        assert "\x1b" not in shown


def test_a_vmcore_without_device_dumps_has_nothing_to_show(vmcoredd: Run, copied: Path) -> None:
    patch(copied, NOTE_AT + 8, "<I", 0x701)
    patch(copied, NOTE_AT + 64 + PAYLOAD_BYTES + 8, "<I", 0x701)
    result = vmcoredd("show", copied)
    assert result.code == Exit.USAGE
    assert "it holds no device dump; `vmcoredd notes` lists what it holds" in result.err
    record = vmcoredd("notes", copied, "--json").json
    assert not any(note["adapter"] for note in record["notes"])


@pytest.mark.parametrize("command", ["show", "diagnose", "report", "slim", "diff"])
def test_a_vmcore_that_ends_in_its_headers_is_damaged(
    vmcoredd: Run, made: Path, tmp_path: Path, command: str
) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(made.read_bytes()[:64])
    more = {"report": ["-o", tmp_path / "out"], "slim": ["-o", tmp_path / "out"], "diff": [made]}
    result = vmcoredd(command, cut, *more.get(command, []))
    assert result.code == Exit.BAD_FILE
    assert f"vmcoredd: {cut}: " in result.err
    assert "ELF program headers: need 168 bytes, have 0 bytes" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("kind", ["folder", "device", "text", "picture", "empty", "absent"])
@pytest.mark.parametrize("command", ["notes", "show", "diagnose", "report", "slim", "extract"])
def test_what_is_no_dump_is_named_and_nothing_is_made_of_it(
    vmcoredd: Run, tmp_path: Path, command: str, kind: str
) -> None:
    path = Path("/dev/null") if kind == "device" else tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind not in ("device", "absent"):
        data = {"text": b"hello\nworld" * 99, "picture": b"\x89PNG\r\n\x1a\n" + bytes(99)}
        path.write_bytes(data.get(kind, b""))
    says = {
        "folder": "have a folder (name a file in it)",
        "device": "have a character device",
        "text": "(text)",
        "picture": "have a PNG picture",
        "empty": "have an empty file",
        "absent": "No such file or directory",
    }
    out = tmp_path / "out"
    options = ["-o", out] if command in ("report", "slim", "extract") else []
    result = vmcoredd(command, path, *options)
    assert result.code == (Exit.FAILED if kind == "absent" else Exit.BAD_FILE)
    assert result.out == ""
    assert one_line(result).startswith(f"vmcoredd: {path}: ")
    assert says[kind] in result.err
    assert not out.exists()


def test_another_drivers_dump_is_not_decoded(vmcoredd: Run, copied: Path) -> None:
    patch(copied, PAYLOAD_AT, "<I", 0x12345678)
    listed = vmcoredd("notes", copied, "--json").json["notes"][0]
    assert (listed["name"], listed["adapter"]) == (NAMES[0], None)
    result = vmcoredd("show", copied)
    assert result.code == Exit.BAD_FILE
    assert "not a cudbg dump" in one_line(result)


# extract


def test_a_payload_becomes_a_file(vmcoredd: Run, made: Path, tmp_path: Path) -> None:
    output = tmp_path / "dump.bin"
    result = vmcoredd("extract", made, "--index", 1, "-o", output)
    assert result.code == Exit.OK
    assert output.stat().st_size == PAYLOAD_BYTES
    assert repr(cudbg.Dump(output.read_bytes()).chip) == "T5"


def test_the_remaining_part_of_a_truncated_payload_is_extracted(
    vmcoredd: Run, copied: Path, tmp_path: Path
) -> None:
    os.truncate(copied, PAYLOAD_AT + 5000)
    output = tmp_path / "dump.bin"
    result = vmcoredd("extract", copied, "-o", output)
    assert result.code == Exit.INCOMPLETE
    assert output.stat().st_size == 5000
    assert f"the last {PAYLOAD_BYTES - 5000:,} bytes are missing" in result.err


def test_an_extracted_file_is_not_overwritten(vmcoredd: Run, made: Path, tmp_path: Path) -> None:
    output = tmp_path / "dump.bin"
    output.write_text("precious")
    assert vmcoredd("extract", made, "-o", output).code == Exit.FAILED
    assert output.read_text() == "precious"
    assert vmcoredd("extract", made, "-o", output, "--force").code == Exit.OK
    assert output.stat().st_size == PAYLOAD_BYTES


def test_an_unknown_note_is_wrong_usage(vmcoredd: Run, made: Path, tmp_path: Path) -> None:
    result = vmcoredd("extract", made, "--index", 99, "-o", tmp_path / "dump.bin")
    assert result.code == Exit.USAGE
    assert "no note 99" in one_line(result)
    assert list(tmp_path.iterdir()) == []


# diff


def test_a_dump_is_equal_to_itself_and_differs_from_another(vmcoredd: Run, made: Path) -> None:
    assert vmcoredd("diff", made, made).code == Exit.OK
    result = vmcoredd("diff", made, made, "--other-index", 1)
    assert result.code == Exit.INCOMPLETE
    assert "CLK" not in result.out or "differ" in result.out


def test_a_damaged_entity_ends_no_comparison(vmcoredd: Run, made: Path, copied: Path) -> None:
    with vmcore.Reader(made) as reader:
        start = cudbg.Dump(bytes(reader.payload(0))).entity("TID_INFO").start
    patch(copied, entity_field(46, 8), "<I", 0x7FFFFFFF)
    patch(copied, PAYLOAD_AT + start + 290, "<I", 0)
    for files, where in (((made, copied), "b"), ((copied, made), "a")):
        result = vmcoredd("diff", *files)
        assert result.code == Exit.BAD_FILE
        assert f"CLK: damaged in {where}: need 2147483647 bytes" in result.out
        assert f"TID_INFO: damaged in {where}: piece at 0x0: " in result.out
        assert result.out.endswith("50 entities are equal, 0 differ, 2 are not compared\n")
        assert one_line(result) == "vmcoredd: damaged, hence not compared: CLK, TID_INFO"


def test_no_screen_sends_a_devices_text_to_the_terminal_as_it_is(
    vmcoredd: Run, small_card: Path, tmp_path: Path
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    arguments = ["dump", "--card", small_card, "--compress", "none", "--json", "-o", one]
    serial = vmcoredd(*arguments).json["adapters"][0]["serial"].encode()
    data = one.read_bytes()
    assert serial in data
    other.write_bytes(data.replace(serial, b"\x1b[31m".ljust(len(serial), b"!")))
    for screen in (("diff", one, other), ("show", other, "--entity", "VPD_DATA")):
        shown = vmcoredd(*screen).out
        assert "\\x1b[31m!" in shown
        assert "\x1b" not in shown
