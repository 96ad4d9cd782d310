"""Entities that Linux does not put into a crash dump: their names, and the decoders of some."""

from __future__ import annotations

import struct

import pytest
from carddump import collected
from fastlz_dumps import dump
from unknown_dumps import with_byte, with_entity

from vmcoredd import cudbg
from vmcoredd.chip import T6
from vmcoredd.cudbg.decoded import Decoded, Fields, Table
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import UnknownFormat
from vmcoredd.cudbg.foreign import decoders
from vmcoredd.cudbg.names import names_of, published, resolved, short_name

WORDS = b"".join(struct.pack("<I", i) for i in range(64))
LINUX = bytes(collected(T6).data)


def decoded(number: int, raw: bytes) -> Decoded:
    """What a dump of FreeBSD says of entity `number`."""
    made = cudbg.Dump(dump({number: raw}))
    return made.decode(made.names[number])


def values(found: Decoded) -> dict[str, object]:
    """The named values."""
    (part,) = found
    assert isinstance(part, Fields)
    assert "never seen from the field" in part.title
    return {item.name: item.value for item in part.items}


def test_every_number_has_one_name() -> None:
    for most in (68, 72, 89):
        for compression in (0, 0x20):
            header = with_byte(dump({}, most=most), 23, compression)
            names = names_of(cudbg.Dump(header).header)
            assert len(set(names.values())) == len(names)
            assert set(range(1, min(most, 72))) <= set(names)


@pytest.mark.parametrize("most", [68, 70, 71])
def test_a_dump_of_an_older_kernel_has_fewer_numbers(most: int) -> None:
    mtus, at = struct.pack("<16H", *range(16)), 56 + 52 * most
    head = struct.pack("<IIHHIIHBB32x", 67856866, 56, 1, 14, at + 32, 0, most, 0x60, 0x11)
    entity = struct.pack("<III40x", 27, at, 32)
    made = cudbg.Dump(head + bytes(26 * 52) + entity + bytes((most - 27) * 52) + mtus)
    assert [found.name for found in made.entities] == ["PATH_MTU"]
    assert (made.raw("PATH_MTU"), made.cut, made.unknowns) == (mtus, "", ())
    assert made.decode("PATH_MTU")


def test_71_is_linuxs_flash_and_the_vendors_module_eeprom() -> None:
    assert cudbg.Dump(with_entity(LINUX, 71, b"flash")).entities[-1].name == "FLASH"
    assert cudbg.Dump(dump({71: b"module"}, most=89)).entities[-1].name == "MOD_EEPROM"
    assert cudbg.Dump(dump({72: b"flash"}, most=89)).entities[-1].name == "FLASH"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("regdump", "REG_DUMP"),
        ("DEVLOG", "DEV_LOG"),
        ("cimla", "CIM_LA"),
        ("letcam", "LE_TCAM"),
        ("ibqtp0", "CIM_IBQ_TP0"),
        ("obq_sge_rx_q1", "CIM_OBQ_RXQ1"),
        ("rss_vf_config", "RSS_VF_CONF"),
        ("tidinfo", "TID_INFO"),
        ("pbttables", "PBT_TABLE"),
        ("upcimindirect", "UP_CIM_INDIRECT"),
        ("cim_qcfg", "CIM_QCFG"),
        ("71", "FLASH"),
        ("Entity 53", "TX_RATE"),
        ("nothing", "nothing"),
        ("999", "999"),
        ("1" * 5000, "1" * 5000),
        ("\u00b2", "\u00b2"),
    ],
)
def test_an_entity_is_found_by_name_short_name_or_number(given: str, name: str) -> None:
    assert resolved(given, cudbg.Dump(LINUX).names) == name


def test_no_two_entities_share_a_short_name() -> None:
    names = [*entities(), *{name for _, name, _ in published()}]
    assert len({short_name(name) for name in names}) == len(names)


def test_rss_of_the_pfs_is_a_table() -> None:
    (table,) = decoded(23, WORDS[:96])
    assert isinstance(table, Table)
    assert [*table.rows][1] == [1, 3, 4, 5]


@pytest.mark.parametrize(
    ("number", "raw", "name", "value"),
    [
        (24, WORDS[:40], "word9", 9),
        (26, WORDS[:28], "TP_RSS_CONFIG_CNG", 5),
        (28, struct.pack("<I100sB67x", 0x8000_0000, b"FreeBSD", 0), "collected by", "FreeBSD"),
        (32, struct.pack("<I4x3QI4x3Q", *range(8)), "v6_tcp_retrans_segs", 7),
        (33, WORDS[:140], "tcp6_in_errs[3]", 31),
        (34, struct.pack("<" + "IIQ" * 4 + "I4x", *range(13)), "octets_ddp[3]", 11),
        (35, WORDS[:8], "rqe_dfr_mod", 1),
        (38, WORDS[:36], "rsp[3]", 7),
        (39, struct.pack("<IIQ", 1, 2, 1 << 40), "octets", 1 << 40),
        (40, WORDS[:8], "wr_cl_fail", 1),
        (53, struct.pack("<8QI4x", *range(9)), "orate[3]", 7),
    ],
)
def test_numbers_have_their_names(number: int, raw: bytes, name: str, value: object) -> None:
    assert values(decoded(number, raw))[name] == value
    longer = decoded(number, raw + bytes(4))
    assert list(longer)[1:] == list(decoded(number, raw))
    assert longer.incomplete == "4 bytes more than this version knows: not decoded"


def test_loopback_ports_are_rows() -> None:
    (table,) = decoded(42, struct.pack("<i4x44Q", 2, *range(44)))
    assert isinstance(table, Table)
    assert [row[1] for row in table.rows] == [0, 22]
    assert decoded(42, bytes(12)).incomplete.startswith("12 of 184 bytes")


def test_what_was_collected_later_is_listed() -> None:
    one = struct.pack("<IIIi36x", 27, 52, 8, 0) + b"path mtu"
    two = struct.pack("<IIIi36x", 2, 0, 0, -19)
    data = bytearray(dump({63: b""}))
    struct.pack_into("<II", data, 56 + 52 * 62 + 4, len(data), len(one + two))
    data[56 + 52 * 62 + 24] = 0
    made = cudbg.Dump(bytes(data) + one + two)
    assert made.raw("EXT_ENTITY") == one + two
    (table,) = made.decode("EXT_ENTITY")
    assert isinstance(table, Table)
    first, second = table.rows
    assert first == [27, 52, 8, "good"]
    assert second[:3] == [2, 112, 0]
    assert "no room" in str(second[3])


def test_an_entity_without_a_decoder_is_read_raw_and_stops_nothing() -> None:
    made = cudbg.Dump(dump({29: WORDS, 27: bytes(32)}))
    assert made.raw("WTP") == WORDS
    with pytest.raises(UnknownFormat, match="WTP: this version does not decode it"):
        made.decode("WTP")
    assert made.decode("PATH_MTU")


def test_the_driver_collects_none_of_them() -> None:
    assert {name for name in decoders() if name not in entities()} <= {n for _, n, _ in published()}
