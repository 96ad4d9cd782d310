"""`vmcoredd slim`: notes without memories, marked, and with pseudonyms for private values."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from cliruns import Run, command, command_bytes, one_line
from private_values import dumps, everything, private_values, written
from unknown_dumps import big_endian

from tests.support.schema import problems
from vmcoredd import cudbg, vmcore
from vmcoredd.chip.firmware import Clip, FwCommand, LdstAddress, LdstI2c, LdstSpace, Vi
from vmcoredd.chip.layout import sizeof
from vmcoredd.cli.exit_codes import Exit
from vmcoredd.cudbg.decoded import Part, Table
from vmcoredd.cudbg.entities.firmware_logs import MailboxRecord
from vmcoredd.cudbg.entities.pci import VpdLayout
from vmcoredd.cudbg.left_out import Why
from vmcoredd.cudbg.private import contents
from vmcoredd.cudbg.pseudonyms import Kind, Pseudonyms, is_private
from vmcoredd.cudbg.redact import learn, redacted
from vmcoredd.cudbg.slim import slimmed
from vmcoredd.cudbg.words import Word, find

MEMORIES = {"EDC0", "EDC1", "MC0"}


def others(path: Path) -> list[bytes]:
    """The notes that are no device dumps, with their headers."""
    with vmcore.Reader(path) as reader:
        kernel = [note for note in reader.notes if not note.is_device_dump]
        data = path.read_bytes()
        return [data[note.offset : note.payload_offset + note.payload_size] for note in kernel]


@pytest.fixture(scope="module")
def slim_copy(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slim") / "small"
    assert command_bytes("slim", made, "-o", path).returncode == 0
    return path


@pytest.fixture(scope="module")
def redacted_copy(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("redacted") / "small"
    assert command_bytes("slim", made, "-o", path, "--redact").returncode == 0
    return path


def test_slim_leaves_memories_out_and_marks_them(
    vmcoredd: Run, made: Path, slim_copy: Path
) -> None:
    assert slim_copy.stat().st_size < made.stat().st_size / 50
    for before, after in zip(dumps(made), dumps(slim_copy), strict=True):
        left_out = {entity.name for entity in after.entities if entity.left_out}
        assert left_out == MEMORIES
        for entity in before.entities:
            if entity.good and entity.name not in MEMORIES:
                assert after.raw(entity.name) == before.raw(entity.name)
            assert entity.name in MEMORIES or after.entity(entity.name).code == entity.code
    shown = vmcoredd("show", slim_copy)
    assert shown.code == Exit.OK
    assert "left out by slim: not wanted" in shown.out
    listed = vmcoredd("notes", slim_copy)
    assert (listed.code, listed.err) == (Exit.OK, "")
    assert "left out" in listed.out


def test_the_mark_is_a_status_and_two_reserved_words(slim_copy: Path) -> None:
    (dump, _) = dumps(slim_copy)
    header = bytes(dump.data[56 + 52 * 17 : 56 + 52 * 18])
    number, _, size, status = struct.unpack_from("<IIIi", header)
    assert (number, size, status) == (18, 0, -35)
    assert header[32:40] == b"SLIM" + struct.pack("<I", Why.CHOSEN)


def test_other_notes_are_kept_byte_for_byte_and_there_is_no_memory(
    made: Path, slim_copy: Path
) -> None:
    assert others(slim_copy) == others(made)
    readelf = ["readelf", "-lW", str(slim_copy)]
    listed = subprocess.run(readelf, capture_output=True, text=True, check=True, timeout=60)
    assert "NOTE" in listed.stdout
    assert "LOAD" not in listed.stdout


def test_slim_leaves_out_what_is_named(vmcoredd: Run, made: Path, tmp_path: Path) -> None:
    path = tmp_path / "small"
    assert vmcoredd("slim", made, "-o", path, "--without", "edc0,DEV_LOG").code == 0
    for dump in dumps(path):
        assert {e.name for e in dump.entities if e.left_out} == {"EDC0", "DEV_LOG"}
    assert vmcoredd("slim", made, "-o", path, "--without", "none", "--force").code == 0
    assert not [e for dump in dumps(path) for e in dump.entities if e.left_out]
    wrong = vmcoredd("slim", made, "-o", path, "--without", "EDC9", "--force")
    assert wrong.code == Exit.USAGE
    assert "did you mean EDC" in wrong.err


def test_what_is_slim_already_stays_as_it_is(
    vmcoredd: Run, slim_copy: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    assert vmcoredd("slim", slim_copy, "-o", again).code == 0
    assert again.read_bytes() == slim_copy.read_bytes()


def test_a_bare_dump_stays_bare(vmcoredd: Run, made: Path, tmp_path: Path) -> None:
    bare, path = tmp_path / "bare", tmp_path / "small"
    assert vmcoredd("extract", made, "-o", bare).code == 0
    assert vmcoredd("slim", bare, "-o", path).code == 0
    assert cudbg.is_dump(path.read_bytes())
    assert path.stat().st_size < bare.stat().st_size / 50


def test_slim_streams_to_standard_output(made: Path, slim_copy: Path) -> None:
    done = command_bytes("slim", made, "-o", "-")
    assert done.returncode == 0
    assert done.stdout == slim_copy.read_bytes()
    assert b"contains" in done.stderr


def test_slim_keeps_an_existing_file(vmcoredd: Run, made: Path, tmp_path: Path) -> None:
    path = tmp_path / "small"
    path.write_text("mine")
    refused = vmcoredd("slim", made, "-o", path)
    assert refused.code == Exit.FAILED
    assert "File exists" in one_line(refused)
    assert "--force" in refused.err
    assert path.read_text() == "mine"


def test_slim_leaves_nothing_behind_on_a_full_disk(made: Path, tmp_path: Path) -> None:
    words = " ".join(command("slim", made, "-o", tmp_path / "small"))
    limited = ["sh", "-c", f"ulimit -f 100; trap '' XFSZ; exec {words}"]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=60)
    assert done.returncode == Exit.FAILED, done.stderr
    assert "File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_entity_is_left_out_and_said(vmcoredd: Run, copied: Path, tmp_path: Path) -> None:
    with vmcore.Reader(copied) as reader:
        at = reader.device_dumps[0].payload_offset + 56 + 4  # where REG_DUMP starts
    with copied.open("r+b") as file:
        file.seek(at)
        file.write(struct.pack("<I", 1 << 31))
    path = tmp_path / "small"
    done = vmcoredd("slim", copied, "-o", path)
    assert done.code == Exit.BAD_FILE
    assert "damaged: REG_DUMP is left out" in done.err
    assert "it was damaged" in vmcoredd("show", path).out


def test_json_says_what_is_in_the_result(vmcoredd: Run, made: Path, tmp_path: Path) -> None:
    record = vmcoredd("slim", made, "-o", tmp_path / "small", "--json").json
    assert problems(record) == []
    assert record["kernel_notes"] == 9
    first = record["dumps"][0]
    assert set(first["left_out"]) == MEMORIES
    assert any("serial numbers (VPD_DATA" in line for line in first["contents"])
    assert not any("payload" in line for line in first["contents"])


# Redacting


def test_no_private_value_is_left_after_redacting(slim_copy: Path, redacted_copy: Path) -> None:
    before, after = everything(slim_copy), everything(redacted_copy)
    values = set(private_values(slim_copy))
    assert len(values) > 20
    for value in values:
        assert any(way in before for way in written(value))
        found = [way for way in written(value) if way in after]
        assert found == [], value.hex()


def test_what_redacting_does_not_replace_is_said_before_and_after(
    vmcoredd: Run, made: Path, tmp_path: Path
) -> None:
    said = vmcoredd("slim", made, "-o", tmp_path / "small", "--redact").out
    stays = ("connections (LE_TCAM)", "caught (", "log (DEV_LOG)")
    lines = [line for line in said.splitlines() if line.endswith(": not replaced")]
    assert all(any(what in line for line in lines) for what in stays)
    assert "not replaced" not in vmcoredd("slim", made, "-o", tmp_path / "all").out
    for name in ("slim", "report"):
        told = " ".join(vmcoredd(name, "--help").out.replace("│", "").split())
        assert "IP addresses (LE_TCAM)" in told
        assert "stay." in told


def test_pseudonyms_are_consistent_local_and_of_the_same_length(
    made: Path, redacted_copy: Path
) -> None:
    for before, after in zip(dumps(made), dumps(redacted_copy), strict=True):
        table = {}
        for dump in (before, after):
            *_, addresses = dump.decode("MPS_TCAM").json()
            table[dump] = [row["address"] for row in addresses["rows"]]
        old_card, new_card = (d.decode("VPD_DATA").json()[0] for d in (before, after))
        old, new = ({i["name"]: i["value"] for i in c["values"]} for c in (old_card, new_card))
        assert len(old["serial number"]) == len(new["serial number"])
        assert old["part number"] == new["part number"]
        own = [address.replace(":", "").upper() for address in table[before]].index(
            old["network address"]
        )
        assert table[after][own].replace(":", "").upper() == new["network address"]
        for a, b in zip(table[before], table[after], strict=True):
            private = is_private(Kind.MAC, bytes.fromhex(a.replace(":", "")))
            assert (a != b) == private
            assert not private or int(b[:2], 16) & 3 == 2


def test_memories_are_left_out_when_redacting_whatever_is_named(
    vmcoredd: Run, made: Path, tmp_path: Path
) -> None:
    path = tmp_path / "small"
    assert vmcoredd("slim", made, "-o", path, "--redact", "--without", "none").code == 0
    for dump in dumps(path):
        left_out = {e.name: e.left_out for e in dump.entities if e.left_out}
        assert set(left_out) == MEMORIES
        assert all("private" in why for why in left_out.values())


def test_both_halves_of_a_ternary_address_have_its_pseudonym(
    made: Path, redacted_copy: Path
) -> None:
    seen = 0
    for before, after in zip(dumps(made), dumps(redacted_copy), strict=True):
        addresses = {row["address"] for row in list(after.decode("MPS_TCAM").json())[-1]["rows"]}
        for old, new in zip(ternary(before), ternary(after), strict=True):
            ones, zeros = new
            assert old[0] | old[1] == ones | zeros
            assert not ones & zeros
            address = old[0].to_bytes(6, "big")
            if old[0] ^ old[1] == (1 << 48) - 1 and is_private(Kind.MAC, address):
                assert new != old
                assert ones.to_bytes(6, "big").hex(":") in addresses
                seen += 1
    assert seen >= 2


def ternary(dump: cudbg.Dump) -> list[tuple[int, int]]:
    """What a T5's TCAM of addresses wants to be 1, and to be 0; nothing of another chip."""
    words = [word.value for word in ternary_words(dump)]
    quarter = len(words) // 4
    rows = zip(*(words[quarter * i : quarter * (i + 1)] for i in range(4)), strict=True)
    return [((yh & 0xFFFF) << 32 | yl, (xh & 0xFFFF) << 32 | xl) for yh, yl, xh, xl in rows]


def ternary_words(dump: cudbg.Dump) -> list[Word]:
    """The words of that TCAM: the high and low ones to be 1, then those to be 0."""
    names = [f"MPS_CLS_TCAM_{half}_{part}" for half in "YX" for part in "HL"]
    return [word for name in names for word in find(dump, name)]


def vf_rows(part: Part) -> list[Sequence[object]]:
    """The rows of the table of virtual functions."""
    is_wanted = isinstance(part, Table) and part.title == "virtual functions"
    return list(part.rows) if isinstance(part, Table) and is_wanted else []


def test_the_words_that_scramble_keys_have_pseudonyms(made: Path, redacted_copy: Path) -> None:
    for before, after in zip(dumps(made), dumps(redacted_copy), strict=True):
        old, new = (
            [row[1] for part in dump.decode("RSS_VF_CONF") for row in vf_rows(part)]
            for dump in (before, after)
        )
        kept = [a for a, b in zip(old, new, strict=True) if a == b]
        assert any(old)
        assert not any(kept)


def test_registers_that_are_not_private_stay(made: Path, redacted_copy: Path) -> None:
    for before, after in zip(dumps(made), dumps(redacted_copy), strict=True):
        one, other = before.raw("REG_DUMP"), after.raw("REG_DUMP")
        assert len(one) == len(other)
        differing = [at for at, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
        tcam = [at for word in ternary_words(before) for at in range(word.offset, word.offset + 4)]
        assert len({*differing} - {*tcam}) <= 12 * 8
        for name in ("CIM_LA", "DEV_LOG", "DUMP_CONTEXT", "LE_TCAM", "MEMINFO"):
            assert before.raw(name) == after.raw(name)


def logged(dump: cudbg.Dump, command: FwCommand) -> cudbg.Dump:
    """A copy of a dump whose log has one command."""
    record = MailboxRecord(timestamp=1, seqno=1)
    words = struct.unpack(">8Q", bytes(command).ljust(64, b"\0"))
    record.cmd = words
    record.hi = [word >> 32 for word in words]
    record.lo = [word & 0xFFFFFFFF for word in words]
    raw = bytes(record).ljust(sizeof(MailboxRecord) * 256, b"\0")
    copy = cudbg.Dump(slimmed(dump, {}, {"MBOX_LOG": raw}))
    assert copy.raw("MBOX_LOG") == raw
    return copy


ADDRESS = bytes.fromhex("0007431234ab")
SERIAL = b"APF1234567890ZZ"


@pytest.mark.parametrize(
    ("command", "private"),
    [
        (Vi(mac=ADDRESS), ADDRESS),
        (Clip(ip_hi=0xFD00_0001_0002_0003, ip_lo=0x4), bytes.fromhex("fd00000100020003")),
        (
            LdstAddress(addrspace=LdstSpace.TP_PIO, addr=0x41, val=0xC0FFEE11, write=1),
            bytes.fromhex("c0ffee11"),
        ),
        (LdstI2c(addrspace=LdstSpace.I2C, data=SERIAL.ljust(48, b"\0")), SERIAL),
    ],
    ids=["MAC address", "IPv6 address", "word of the key", "transceiver"],
)
def test_private_values_in_the_log_of_commands_are_replaced(
    made: Path, command: FwCommand, private: bytes
) -> None:
    dump, names = logged(dumps(made)[0], command), Pseudonyms()
    learn(dump, names)
    clean = MailboxRecord.from_bytes(
        cudbg.Dump(redacted(dump, names)).raw("MBOX_LOG")[: sizeof(MailboxRecord)]
    )
    halves = b"".join(struct.pack(">II", *pair) for pair in zip(clean.hi, clean.lo, strict=True))
    assert halves == struct.pack(">8Q", *clean.cmd)
    assert private in bytes(command)
    assert private not in halves
    head = 4  # the other bytes stay
    assert halves[:head] == bytes(command)[:head]


def test_the_half_of_an_ipv6_address_that_tells_a_mac_address_is_replaced(made: Path) -> None:
    dump, names = dumps(made)[0], Pseudonyms()
    names.of(Kind.MAC, ADDRESS)
    local = bytes.fromhex("fe80000000000000020743fffe1234ab")
    raw = bytearray(dump.raw("LE_TCAM"))
    raw[-16:] = local
    copy = cudbg.Dump(slimmed(dump, {}, {"LE_TCAM": bytes(raw)}))
    clean = cudbg.Dump(redacted(copy, names)).raw("LE_TCAM")
    assert local in copy.raw("LE_TCAM")
    assert local[8:] not in clean
    assert clean[-16:-8] == local[:8]


@pytest.mark.parametrize(
    ("kind", "value", "private"),
    [
        (Kind.MAC, bytes(6), False),
        (Kind.MAC, b"\xff" * 6, False),
        (Kind.MAC, bytes.fromhex("333300000001"), False),
        (Kind.MAC, bytes.fromhex("3333ff123456"), True),
        (Kind.MAC, bytes.fromhex("000743123456"), True),
        (Kind.MAC_TEXT, b"000743C890D0\0", True),
        (Kind.MAC_TEXT, b"no address..\0", False),
        (Kind.SERIAL, bytes(25), False),
        (Kind.SERIAL, b"PT1\0", True),
        (Kind.SECRET, bytes(40), False),
    ],
)
def test_only_what_tells_something_has_a_pseudonym(kind: Kind, value: bytes, private: bool) -> None:
    assert is_private(kind, value) == private
    assert (Pseudonyms().of(kind, value) != value) == private


def test_a_dump_whose_private_data_cannot_be_found_is_left_out(
    vmcoredd: Run, made: Path, tmp_path: Path
) -> None:
    bare, path = tmp_path / "big", tmp_path / "small"
    bare.write_bytes(big_endian(bytes(dumps(made)[0].data)))
    done = vmcoredd("slim", bare, "-o", path, "--redact")
    assert done.code == Exit.INCOMPLETE
    assert "big-endian host" in done.err
    assert "`vmcoredd slim` without --redact" in done.err
    assert not path.exists()
    assert vmcoredd("slim", bare, "-o", path).code == Exit.OK
    assert "left out by slim" in vmcoredd("show", path).out


def test_a_serial_number_is_replaced_where_its_own_entity_is_damaged_or_short(made: Path) -> None:
    (dump, *_) = dumps(made)
    serial = dump.raw("VPD_DATA")[: VpdLayout.sn.size].rstrip(b" \0")
    queue = serial.ljust(2048, b"\0")
    for vpd in (dump.raw("VPD_DATA")[:60], dump.raw("VPD_DATA")[:-24] + b"\xff" * 24):
        copy = cudbg.Dump(slimmed(dump, {}, {"VPD_DATA": vpd, "CIM_IBQ_TP0": queue}))
        learn(copy, names := Pseudonyms())
        clean = cudbg.Dump(redacted(copy, names))
        assert serial not in clean.raw("CIM_IBQ_TP0")
        assert clean.raw("CIM_IBQ_TP0").count(0) == queue.count(0)


def test_an_empty_mailbox_log_holds_nothing_private(made: Path) -> None:
    dump = dumps(made)[0]
    raw = bytes(len(dump.blob("MBOX_LOG")))
    empty = cudbg.Dump(slimmed(dump, {}, {"MBOX_LOG": raw}))
    held = cudbg.Dump(slimmed(dump, {}, {"MBOX_LOG": b"\1" + raw[1:]}))
    assert "MBOX_LOG" not in "".join(contents(empty, redacted=True))
    assert "MBOX_LOG" in "".join(contents(held, redacted=True))
