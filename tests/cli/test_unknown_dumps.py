"""`notes`, `show`, `extract` and `diff` on intact dumps that this version does not know in full."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cliruns import Result, Run, command_bytes, one_line
from unknown_dumps import KINDS, Kind, entity_at, with_byte, with_entity
from vmcore_files import Elf, dump_note

from vmcoredd import cudbg, vmcore
from vmcoredd.cli.exit_codes import Exit

CLK, TID_INFO, MEMINFO, EDC0, ULPTX_LA = 46, 54, 44, 18, 62
STRANGER = 72
"""A number that no entity of the kernel's has."""
REVISION = 4
"""The offset of the revision in an entity's version header."""
Make = Callable[[bytes], Path]


@pytest.fixture(scope="session")
def payload(made: Path) -> bytes:
    """The dump of a small T6, to its last byte."""
    with vmcore.Reader(made) as reader:
        data = bytes(reader.payload(0))
    (length,) = struct.unpack_from("<I", data, 12)
    return data[:length]


@pytest.fixture
def vmcore_of(tmp_path: Path) -> Make:
    """Makes a vmcore with one dump."""

    def make(payload: bytes) -> Path:
        path = tmp_path / f"vmcore{len(list(tmp_path.iterdir()))}"
        path.write_bytes(bytes(Elf([dump_note(b"cxgb4_0000:00:02.0", payload)])))
        return path

    return make


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """One way to be unknown."""
    found: Kind = request.param
    return found


@pytest.fixture
def unknown(kind: Kind, payload: bytes, vmcore_of: Make) -> Path:
    """A vmcore with such a dump."""
    return vmcore_of(kind.made(payload))


@pytest.fixture
def known(payload: bytes, vmcore_of: Make) -> Path:
    """A vmcore with the dump as it was."""
    return vmcore_of(payload)


def by_name(record: Any) -> dict[str, Any]:
    """The entities of `show --json`."""
    return {entity["name"]: entity for entity in record["entities"]}


# The whole dump


def test_notes_counts_its_entities(vmcoredd: Run, kind: Kind, unknown: Path) -> None:
    result = vmcoredd("notes", unknown)
    assert (result.code, result.err) == (Exit.OK, f"unknown: note 0: {kind.reason}\n")
    assert max(map(len, result.out.splitlines())) <= 80
    row = result.out.split("Adapters")[1].split()[-len(kind.compression.split()) - 8 :]
    assert " ".join(row) == f"0 {kind.adapter} 50 0 2 0 {kind.compression}"


def test_notes_says_for_programs_what_is_unknown(vmcoredd: Run, kind: Kind, unknown: Path) -> None:
    record = vmcoredd("notes", unknown, "--json").json
    (note,) = record["notes"]
    assert record["damage"] == []
    assert note["unknown"] == [kind.reason]
    assert (note["adapter"], note["compression"]) == (kind.adapter, kind.compression)
    assert (note["good"], note["partial"], note["absent"], note["missing"]) == (50, 0, 2, 0)


def test_show_lists_its_entities(vmcoredd: Run, kind: Kind, unknown: Path, payload: bytes) -> None:
    result = vmcoredd("show", unknown)
    assert result.code == Exit.OK
    assert one_line(result) == f"vmcoredd: {unknown}: {kind.reason}"
    assert kind.adapter in result.out
    rows = [line.split() for line in result.out.splitlines() if line.strip()[:1].isdigit()]
    assert [row[1] for row in rows] == [entity.name for entity in cudbg.Dump(payload).entities]
    assert sum(row[-1] == "good" for row in rows) == 50


def test_show_lists_its_entities_for_programs(
    vmcoredd: Run, kind: Kind, unknown: Path, known: Path
) -> None:
    result = vmcoredd("show", unknown, "--json")
    assert result.code == Exit.OK
    expected = vmcoredd("show", known, "--json").json
    assert result.json["unknown"] == [kind.reason]
    assert expected["unknown"] == []
    unpacked = kind.compression == "zlib"
    for entity, other in zip(result.json["entities"], expected["entities"], strict=True):
        raw = other["raw_size_bytes"] if unpacked or other["code"] else None
        status = entity["status"] if other["condition"] == "absent" else other["status"]
        assert entity == other | {"raw_size_bytes": raw, "status": status}


def test_show_says_why_an_entity_is_not_decoded(vmcoredd: Run, kind: Kind, unknown: Path) -> None:
    result = vmcoredd("show", unknown, "--entity", "CLK")
    assert result.code == Exit.INCOMPLETE
    assert result.out == f"CLK (entity 46)\n  not decoded: {kind.reason}\n\n"
    assert one_line(result) == f"vmcoredd: {unknown}: CLK is not decoded: {kind.reason}"
    record = by_name(vmcoredd("show", unknown, "--entity", "CLK", "--json").json)
    assert (record["CLK"]["not_decoded"], record["CLK"]["damage"]) == (kind.reason, None)
    assert "decoded" not in record["CLK"]
    assert list(record) == ["CLK"]


def test_show_goes_on_past_what_it_cannot_decode(vmcoredd: Run, kind: Kind, unknown: Path) -> None:
    result = vmcoredd("show", unknown, "--entity", "all")
    assert result.code == Exit.INCOMPLETE
    assert result.out.count(f"  not decoded: {kind.reason}\n") == kind.undecoded
    assert result.out.count(" (entity ") == 52
    assert one_line(result).endswith(f"{kind.undecoded} entities are not decoded: {kind.reason}")
    record = by_name(vmcoredd("show", unknown, "--entity", "all", "--json").json)
    reasons = [entity["not_decoded"] for entity in record.values()]
    assert reasons.count(kind.reason) == kind.undecoded
    assert sum("decoded" in entity for entity in record.values()) == 50 - kind.undecoded


def test_an_entitys_raw_bytes_can_be_written(kind: Kind, unknown: Path, payload: bytes) -> None:
    done = command_bytes("show", unknown, "--entity", "CCTRL", "--raw")
    dump = cudbg.Dump(payload)
    if kind.compression == "zlib":
        assert (done.returncode, done.stdout) == (Exit.OK, dump.raw("CCTRL"))
        return
    assert (done.returncode, done.stdout) == (Exit.INCOMPLETE, bytes(dump.packed("CCTRL")))
    says = f"vmcoredd: {unknown}: CCTRL is written as it is in the dump: {kind.reason}\n"
    assert done.stderr.decode() == says


def test_a_memorys_bytes_are_shown_where_memories_are_decoded(
    vmcoredd: Run, kind: Kind, unknown: Path
) -> None:
    result = vmcoredd("show", unknown, "--entity", "EDC0", "--hexdump", "EDC0")
    if kind.undecoded < 50:
        assert result.code == Exit.OK
        assert "  00000000  " in result.out
        return
    assert result.code == Exit.INCOMPLETE
    assert one_line(result) == f"vmcoredd: {unknown}: EDC0 is not decoded: {kind.reason}"


def test_extract_copies_it(
    vmcoredd: Run, kind: Kind, unknown: Path, payload: bytes, tmp_path: Path
) -> None:
    output = tmp_path / "dump.bin"
    assert vmcoredd("extract", unknown, "-o", output).code == Exit.OK
    assert output.read_bytes()[: len(payload)] == kind.made(payload)


def test_diff_with_itself_finds_no_difference(vmcoredd: Run, kind: Kind, unknown: Path) -> None:
    result = vmcoredd("diff", unknown, unknown)
    assert (result.code, result.out) == (Exit.OK, "52 entities are equal, 0 differ\n")
    assert result.err == f"vmcoredd: {unknown}: {kind.reason}\n" * 2


def test_diff_with_a_known_dump_compares_what_can_be_compared(
    vmcoredd: Run, kind: Kind, unknown: Path, known: Path
) -> None:
    result = vmcoredd("diff", unknown, known)
    assert one_line(result) == f"vmcoredd: {unknown}: {kind.reason}"
    record = vmcoredd("diff", unknown, known, "--json").json
    assert record["different"] == []
    if kind.compression == "zlib" and kind.undecoded == 50:  # all bytes are known, and are equal
        assert result.code == Exit.OK
        assert (record["equal"], record["not_compared"]) == (52, [])
        return
    assert result.code == Exit.INCOMPLETE
    assert (record["equal"], len(record["not_compared"])) == (52 - kind.undecoded, kind.undecoded)
    counts = f"{52 - kind.undecoded} entities are equal, 0 differ"
    assert result.out.endswith(f"{counts}, {kind.undecoded} are not compared\n")
    assert "CLK: not compared: " in result.out


def test_the_firmwares_log_of_a_big_endian_host_is_decoded(
    vmcoredd: Run, payload: bytes, known: Path, vmcore_of: Make
) -> None:
    unknown = vmcore_of(KINDS["big-endian"].made(payload))
    shown = [vmcoredd("show", path, "--entity", "DEV_LOG") for path in (unknown, known)]
    assert [result.code for result in shown] == [Exit.OK, Exit.OK]
    assert shown[0].out == shown[1].out
    assert "facility" in shown[0].out


def test_another_minor_version_is_decoded_and_said(
    vmcoredd: Run, payload: bytes, known: Path, vmcore_of: Make
) -> None:
    newer = vmcore_of(with_byte(payload, 10, 15))
    result = vmcoredd("show", newer)
    assert result.code == Exit.OK
    assert one_line(result) == f"vmcoredd: {newer}: format 1.15: decoded as 1.14"
    shown = [vmcoredd("show", path, "--entity", "CLK") for path in (newer, known)]
    assert shown[0] == shown[1]
    assert shown[0].code == Exit.OK


def test_damage_of_an_unknown_dump_is_damage(
    vmcoredd: Run, payload: bytes, vmcore_of: Make
) -> None:
    damaged = with_byte(KINDS["T7"].made(payload), entity_at(CLK) + 11, 0x7F)
    for arguments in ([], ["--entity", "all"]):
        result = vmcoredd("show", vmcore_of(damaged), *arguments)
        assert result.code == Exit.BAD_FILE
        assert "CLK: need 2130706" in result.err
        assert KINDS["T7"].reason in result.err


def test_headers_that_make_no_sense_in_an_unknown_format_are_not_damage(
    vmcoredd: Run, payload: bytes, vmcore_of: Make
) -> None:
    kind = KINDS["format"]
    for offset, value in ((0, CLK + 1), (11, 0x7F)):
        path = vmcore_of(with_byte(kind.made(payload), entity_at(CLK) + offset, value))
        listed = vmcoredd("show", path)
        assert (listed.code, one_line(listed)) == (Exit.OK, f"vmcoredd: {path}: {kind.reason}")
        shown = vmcoredd("show", path, "--entity", "CLK")
        assert shown.code == Exit.INCOMPLETE
        assert kind.reason in one_line(shown)
    cut = vmcoredd("show", vmcore_of(kind.made(payload)[:200]))
    assert (cut.code, kind.reason in one_line(cut)) == (Exit.OK, True)


def test_diff_blames_the_dump_that_is_damaged(
    vmcoredd: Run, payload: bytes, vmcore_of: Make
) -> None:
    unknown = KINDS["compression"].made(payload)
    damaged = with_byte(unknown, entity_at(CLK) + 11, 0x7F)
    result = vmcoredd("diff", vmcore_of(unknown), vmcore_of(damaged))
    assert result.code == Exit.BAD_FILE
    assert "CLK: damaged in b: need 2130706" in result.out
    assert "damaged in a" not in result.out


# Single entities


def replaced(dump: bytes, number: int, change: Callable[[bytes], bytes]) -> bytes:
    """`dump` with changed raw bytes of an entity."""
    parsed = cudbg.Dump(dump)
    (name,) = (entity.name for entity in parsed.entities if entity.number == number)
    return with_entity(dump, number, change(parsed.raw(name)))


ENTITIES = {
    "unknown number": (
        lambda dump: with_entity(dump, STRANGER, b"strange"),
        f"entity {STRANGER}",
        "this version does not decode it",
    ),
    "later revision": (
        lambda dump: replaced(dump, TID_INFO, lambda raw: with_byte(raw, REVISION, 2) + bytes(8)),
        "TID_INFO",
        "revision 2, known is 1",
    ),
    "no version header": (  # as older kernels wrote it
        lambda dump: replaced(dump, MEMINFO, lambda raw: raw[8:]),
        "MEMINFO",
        "signature 0x0, not 0xccedb001",
    ),
    "other chip's": (
        lambda dump: with_byte(dump, 22, 0x50),
        "MA_INDIRECT",
        "none is known on a T5",
    ),
}


@pytest.mark.parametrize(("change", "name", "reason"), ENTITIES.values(), ids=ENTITIES)
def test_an_entity_that_is_not_known_is_listed_and_its_bytes_written(
    vmcoredd: Run,
    payload: bytes,
    vmcore_of: Make,
    change: Callable[[bytes], bytes],
    name: str,
    reason: str,
) -> None:
    dump = change(payload)
    path = vmcore_of(dump)
    listed = vmcoredd("show", path)
    assert (listed.code, listed.err) == (Exit.OK, "")
    assert name in listed.out
    shown, entity = incomplete(vmcoredd, path, name)
    assert "  not decoded: " in shown.out
    assert f": {name} is not decoded: " in one_line(shown)
    assert one_line(shown).endswith(reason)
    assert entity["not_decoded"].endswith(reason)
    raw = command_bytes("show", path, "--entity", name, "--raw")
    assert (raw.returncode, raw.stdout) == (Exit.OK, cudbg.Dump(dump).raw(name))


PARTS = {
    "other size": (
        lambda dump: replaced(dump, CLK, lambda raw: raw + bytes(4)),
        "CLK",
        "4 bytes more than this version knows: not decoded",
    ),
    "other records": (
        lambda dump: replaced(dump, 56, lambda raw: raw[:-1]),
        "DUMP_CONTEXT",
        "294,911 of 294,912 bytes: what depends on the others is left out",
    ),
}


@pytest.mark.parametrize(("change", "name", "reason"), PARTS.values(), ids=PARTS)
def test_an_entity_of_another_size_is_decoded_in_part_and_says_so(
    vmcoredd: Run,
    payload: bytes,
    vmcore_of: Make,
    change: Callable[[bytes], bytes],
    name: str,
    reason: str,
) -> None:
    path = vmcore_of(change(payload))
    shown, entity = incomplete(vmcoredd, path, name)
    assert shown.out.splitlines()[2] == reason
    assert one_line(shown) == f"vmcoredd: {path}: {name}: {reason}"
    assert entity["not_decoded"] == reason
    assert len(entity["decoded"]) > 1


def incomplete(vmcoredd: Run, path: Path, name: str) -> tuple[Result, Any]:
    """What `show` says of an entity that is not decoded in full: on the screen, and in JSON."""
    shown = vmcoredd("show", path, "--entity", name)
    record = vmcoredd("show", path, "--entity", name, "--json")
    assert (shown.code, record.code) == (Exit.INCOMPLETE, Exit.INCOMPLETE)
    return shown, by_name(record.json)[name]


def test_show_of_everything_goes_on_past_an_entity_that_is_not_known(
    vmcoredd: Run, payload: bytes, vmcore_of: Make
) -> None:
    dump = payload
    for change, _, _ in [ENTITIES["unknown number"], ENTITIES["later revision"]]:
        dump = change(dump)
    result = vmcoredd("show", vmcore_of(dump), "--entity", "all")
    assert result.code == Exit.INCOMPLETE
    assert result.out.count("  not decoded: ") == 2
    assert result.out.count(" (entity ") == 53
    late, strange = result.err.splitlines()
    assert late.endswith(f": TID_INFO is not decoded: {ENTITIES['later revision'][2]}")
    assert strange.endswith(f": entity {STRANGER} is not decoded: {ENTITIES['unknown number'][2]}")


def test_a_memory_is_shown_where_its_map_is_not_known(
    vmcoredd: Run, payload: bytes, known: Path, vmcore_of: Make
) -> None:
    path = vmcore_of(ENTITIES["no version header"][0](payload))
    shown, whole = (vmcoredd("show", p, "--entity", "EDC0") for p in (path, known))
    assert (shown.code, whole.code) == (Exit.OK, Exit.OK)
    assert shown.out.splitlines() == [*whole.out.splitlines()[:3], ""]


def test_diff_shows_the_bytes_of_an_entity_that_is_not_known(
    vmcoredd: Run, payload: bytes, known: Path, vmcore_of: Make
) -> None:
    change = with_entity(payload, TID_INFO, with_byte(cudbg.Dump(payload).raw("TID_INFO"), 4, 2))
    result = vmcoredd("diff", known, vmcore_of(change))
    assert (result.code, result.err) == (Exit.INCOMPLETE, "")
    assert "TID_INFO: 1 of 156 bytes, first at 0x4\n" in result.out
    assert "  not decoded: TID_INFO: revision 2, known is 1\n" in result.out
