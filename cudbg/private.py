"""Where the private values of a dump are: serial numbers, MAC addresses and keys, by entity.

| entity | places |
|---|---|
| VPD_DATA | serial number, network address |
| PCIE_CONFIG | the Device Serial Number capability |
| MPS_TCAM | the address of each entry in use |
| REG_DUMP | registers of addresses (`_ADDRESSES`), and the interface to the TCAM of addresses |
| TP_INDIRECT | TP_RSS_SECRET_KEY0 to 9, TP_RSS_VFL_CONFIG |
| RSS_VF_CONF | TP_RSS_VFL_CONFIG of each virtual function: what its key is scrambled with |
| MBOX_LOG | addresses in VI, VI_MAC, ACL_MAC and CLIP commands and replies |
| MBOX_LOG | in LDST commands and replies, words of the key, and a transceiver's memory |

`cudbg.redact` also looks for copies of these values elsewhere. LE_TCAM's IP addresses are not
among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast

from vmcoredd.chip import Chip
from vmcoredd.chip.firmware.codes import LdstSpace, Op
from vmcoredd.chip.firmware.device import Clip
from vmcoredd.chip.firmware.interface import AclMac, ExactMac, Vi, ViMac, ViMacEntry, VniMac
from vmcoredd.chip.firmware.ldst import Ldst, LdstAddress, LdstI2c
from vmcoredd.chip.layout import WORD_BYTES, sizeof
from vmcoredd.chip.pci import ExtCap
from vmcoredd.cudbg.dump import Dump
from vmcoredd.cudbg.entities.firmware_logs import MailboxRecord
from vmcoredd.cudbg.entities.indirect import IndirectEntity
from vmcoredd.cudbg.entities.indirect import Record as IndirectRecord
from vmcoredd.cudbg.entities.mps_tcam import Record as TcamRecord
from vmcoredd.cudbg.entities.pci import VpdLayout, config_offsets
from vmcoredd.cudbg.entities.tp_tables import VF_RECORD
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import CudbgError
from vmcoredd.cudbg.pseudonyms import MAC_BYTES, Kind, is_private


class Privacy(NamedTuple):
    """A kind of private data, and the entities that hold it."""

    what: str
    entities: tuple[str, ...]
    replaced: bool
    """Whether `cudbg.redact` replaces it in entities that remain."""
    is_bytes: bool = False
    """Whether it is in bytes that decoders only describe."""


_QUEUES = tuple(name for name in entities() if name.startswith(("CIM_IBQ_", "CIM_OBQ_")))
PRIVACY = (
    Privacy(
        "MAC addresses",
        ("VPD_DATA", "PCIE_CONFIG", "MPS_TCAM", "REG_DUMP", "MBOX_LOG"),
        True,
    ),
    Privacy("serial numbers", ("VPD_DATA", "PCIE_CONFIG"), True),
    Privacy(
        "the key of receive hashing",
        ("TP_INDIRECT", "RSS_VF_CONF", "RSS_KEY", "MBOX_LOG"),
        True,
    ),
    Privacy("the host's IPv6 addresses, data of transceivers", ("MBOX_LOG",), True),
    Privacy("payload, keys of connections", ("EDC0", "EDC1", "MC0", "MC1", "HMA"), False, True),
    Privacy("descriptors of the driver's queues, with packets", ("QDESC",), False, True),
    Privacy("IP addresses and ports of connections", ("LE_TCAM",), False),
    Privacy(
        "words that logic analysers and queues of the processor caught",
        ("CIM_LA", "CIM_MA_LA", "CIM_PIF_LA", "ULPRX_LA", "ULPTX_LA", "TP_LA", *_QUEUES),
        False,
    ),
    Privacy("the firmware's log", ("DEV_LOG",), False),
)
"""What in a dump is private, or may be."""


def contents(dump: Dump, *, redacted: bool, in_words: bool = False) -> Iterator[str]:
    """Yields what private data a dump holds, one kind a line; with `in_words`, what its entities
    tell when they are decoded, which leaves most bytes of memories out."""
    names = {entity.name for entity in dump.entities if entity.good}
    names -= {name for name in _OFTEN_EMPTY if is_empty(dump, name)}
    for kind in PRIVACY:
        held = [name for name in kind.entities if name in names]
        more = f" and {len(held) - _NAMED} more" * (len(held) > _NAMED)
        lead = "pseudonyms of " * (redacted and kind.replaced)
        stays = ": not replaced" * (redacted and not kind.replaced)
        lead += "what is decoded of " * (in_words and kind.is_bytes)
        if held:
            yield f"{lead}{kind.what} ({', '.join(held[:_NAMED])}{more}){stays}"


def is_empty(dump: Dump, name: str) -> bool:
    """Returns whether an entity of `_OFTEN_EMPTY` is there and holds nothing: zeros after its
    header."""
    try:
        blob, first = dump.blob(name), _OFTEN_EMPTY[name]
        pieces = (blob[max(at, first) : at + _PIECE] for at in range(0, len(blob), _PIECE))
        return all(bytes(piece) == _ZEROS[: len(piece)] for piece in pieces)
    except CudbgError:
        return False


_OFTEN_EMPTY = {"QDESC": 16, "MBOX_LOG": 0, "DEV_LOG": 0, "LE_TCAM": 0}
"""The bytes of the header of each."""
_PIECE = 1 << 20
_ZEROS = bytes(_PIECE)
_NAMED = 5


class Place(NamedTuple):
    """A private value: what it is, and the offsets of its bytes in the entity, in its own order.

    A ternary memory has it twice: there the bits that must be 0 are at the offsets `zeros`, and
    those that are in neither word may be either.
    """

    kind: Kind
    offsets: Sequence[int]
    zeros: Sequence[int] = ()

    def get(self, blob: bytes | bytearray) -> bytes:
        """Returns the value."""
        return bytes(blob[at] for at in self.offsets)

    def put(self, blob: bytearray, value: bytes) -> None:
        """Replaces it by one of the same length."""
        for i, (at, byte) in enumerate(zip(self.offsets, value, strict=True)):
            if self.zeros:
                matched = blob[at] | blob[self.zeros[i]]
                blob[self.zeros[i]] = ~byte & matched
                byte &= matched
            blob[at] = byte


def places(name: str, blob: bytes, chip: Chip) -> Iterator[Place]:
    """Yields the private values of an entity; its size was checked by its decoder."""
    if name in _PLACES:
        yield from _PLACES[name](blob, chip)


_SECRET_KEY = range(0x40, 0x4A)
"""TP_RSS_SECRET_KEY0 to 9, in the space tp_pio."""
_SCRAMBLER = 0x3A
"""TP_RSS_VFL_CONFIG, there too: the word of the virtual function that was read last."""
_ADDRESSES = (
    ("MPS_CLS_BMC_MAC_ADDR_H", "MPS_CLS_BMC_MAC_ADDR_L"),
    ("MPS_PORT_CLS_BMC_MAC_ADDR_H", "MPS_PORT_CLS_BMC_MAC_ADDR_L"),
    ("MAC_PORT_MAGIC_MACID_HI", "MAC_PORT_MAGIC_MACID_LO"),
    ("MPS_CLS_TCAM_DATA1", "MPS_CLS_TCAM_DATA0"),
    ("MPS_CLS_TCAM_RDATA1_REQ_ID0", "MPS_CLS_TCAM_RDATA0_REQ_ID0"),
    ("MPS_CLS_TCAM_RDATA1_REQ_ID1", "MPS_CLS_TCAM_RDATA0_REQ_ID1"),
)
"""Registers of addresses: the high 16 bits, then the low 32."""
_TERNARY = ("MPS_CLS_TCAM_Y_H", "MPS_CLS_TCAM_Y_L", "MPS_CLS_TCAM_X_H", "MPS_CLS_TCAM_X_L")
"""A T5's entries of the TCAM of addresses: the bits that must be 1, then those that must be 0."""
_BYTEWISE = (
    ("MAC_PORT_MTIP_MAC_ADDR_0", "MAC_PORT_MTIP_MAC_ADDR_1"),
    ("MAC_PORT_MTIP_1G10G_MAC_ADDR_0", "MAC_PORT_MTIP_1G10G_MAC_ADDR_1"),
)
"""Registers that hold the first byte of an address in their lowest byte; assumed."""


def _vpd(blob: bytes, chip: Chip) -> Iterator[Place]:
    address = Place(Kind.MAC_TEXT, _span(VpdLayout.na.offset, VpdLayout.na.size))
    is_address = is_private(Kind.MAC_TEXT, address.get(blob))
    yield address if is_address else address._replace(kind=Kind.SERIAL)
    yield Place(Kind.SERIAL, _span(VpdLayout.sn.offset, VpdLayout.sn.size))


def _config(blob: bytes, chip: Chip) -> Iterator[Place]:
    position = {offset: WORD_BYTES * i for i, offset in enumerate(config_offsets(chip))}
    for offset, at in position.items():
        if offset < 0x100 or int.from_bytes(blob[at : at + 2], "little") != ExtCap.DSN:
            continue
        low, high = (position.get(offset + WORD_BYTES * i) for i in (1, 2))
        if blob[at + 2] & 0xF == 1 and low is not None and high is not None:
            yield Place(Kind.SECRET, [*_span(low, WORD_BYTES), *_span(high, WORD_BYTES)])


def _tcam(blob: bytes, chip: Chip) -> Iterator[Place]:
    for at in range(0, len(blob) // sizeof(TcamRecord) * sizeof(TcamRecord), sizeof(TcamRecord)):
        yield Place(Kind.MAC, _span(at + TcamRecord.addr.offset, MAC_BYTES))


def _registers(blob: bytes, chip: Chip) -> Iterator[Place]:
    for high, low in _ADDRESSES:
        for h, lo in zip(_elements(chip, high), _elements(chip, low), strict=True):
            yield Place(Kind.MAC, _address(h, lo))
    for h, lo, x_h, x_lo in zip(*(_elements(chip, name) for name in _TERNARY), strict=True):
        yield Place(Kind.MAC, _address(h, lo), _address(x_h, x_lo))
    for first, second in _BYTEWISE:
        for a, b in zip(_elements(chip, first), _elements(chip, second), strict=True):
            yield Place(Kind.MAC, [*_span(a, 4), *_span(b, 2)])


def _address(high: int, low: int) -> list[int]:
    """Returns where the bytes of an address are whose words are at these offsets."""
    return [high + 1, high, low + 3, low + 2, low + 1, low]


def _elements(chip: Chip, name: str) -> Iterator[int]:
    """Yields the offset of every element of every instance of a register; none if there is none."""
    if name in chip.r:
        for register in chip.r.instances(name):
            yield from (register[i] for i in range(register.count))


def _keys(blob: bytes, chip: Chip) -> Iterator[Place]:
    offsets: list[int] = []
    ranges = cast(IndirectEntity, entities()["TP_INDIRECT"]).ranges(chip)
    for i, item in enumerate(ranges):
        first = i * sizeof(IndirectRecord) + IndirectRecord.outbuf.offset
        for position, index in enumerate(item.indices):
            word = _span(first + WORD_BYTES * position, WORD_BYTES)
            if item.space == "tp_pio" and index in _SECRET_KEY:
                offsets += word
            if item.space == "tp_pio" and index == _SCRAMBLER:
                yield Place(Kind.SECRET, word)
    if offsets:
        yield Place(Kind.SECRET, offsets)


def _mailbox(blob: bytes, chip: Chip) -> Iterator[Place]:
    for at in range(0, len(blob) // sizeof(MailboxRecord) * sizeof(MailboxRecord), _RECORD):
        command, *copies = mailbox_views(at)
        for kind, span in _values_in(bytes(blob[i] for i in command)):
            for view in (command, *copies):
                yield Place(kind, view[span.start : span.stop])


def _scramblers(blob: bytes, chip: Chip) -> Iterator[Place]:
    for at in range(0, len(blob) // VF_RECORD * VF_RECORD, VF_RECORD):
        yield Place(Kind.SECRET, _span(at, WORD_BYTES))


_RECORD = sizeof(MailboxRecord)
_COMMAND = range(64)


def mailbox_views(at: int) -> tuple[list[int], list[int]]:
    """Returns where the bytes of a record's command are, in the firmware's order: in `cmd`, and
    again in `hi` and `lo`."""
    cmd, hi, lo = (at + getattr(MailboxRecord, part).offset for part in ("cmd", "hi", "lo"))
    words = [cmd + 8 * (i // 8) + 7 - i % 8 for i in _COMMAND]
    halves = [(lo if i % 8 >= 4 else hi) + 4 * (i // 8) + 3 - i % 4 for i in _COMMAND]
    return words, halves


def _values_in(command: bytes) -> Iterator[tuple[Kind, range]]:
    """Yields the private values in a command or reply, and where their bytes are."""
    match command[0]:
        case Op.CLIP:
            yield Kind.SECRET, range(Clip.ip_hi.offset, Clip.ip_lo.offset + Clip.ip_lo.size)
        case Op.LDST:
            yield from _loaded(command)
        case _:
            for at in _addresses_in(command):
                yield Kind.MAC, range(at, at + MAC_BYTES)


def _loaded(command: bytes) -> Iterator[tuple[Kind, range]]:
    """Yields what an LDST command loads or stores of the key and of a transceiver's memory."""
    match Ldst.from_bytes(command).addrspace:
        case LdstSpace.TP_PIO if LdstAddress.from_bytes(command).addr in (*_SECRET_KEY, _SCRAMBLER):
            yield Kind.SECRET, range(LdstAddress.val.offset, LdstAddress.val.offset + WORD_BYTES)
        case LdstSpace.I2C:
            yield Kind.SECRET, range(LdstI2c.data.offset, len(_COMMAND))


def _addresses_in(command: bytes) -> Iterator[int]:
    """Yields the offsets of the MAC addresses in a command or reply."""
    match command[0]:
        case Op.VI:
            fields: list[str] = ["mac", "nmac0", "nmac1", "nmac2", "nmac3"]
            yield from (getattr(Vi, field).offset for field in fields)
        case Op.ACL_MAC:
            yield from (getattr(AclMac, f"macaddr{i}").offset for i in range(4))
        case Op.VI_MAC:
            yield from _addresses_of_interface(command)


def _addresses_of_interface(command: bytes) -> Iterator[int]:
    """Yields the offsets of the MAC addresses in a VI_MAC command or reply."""
    first = ViMac.operand.offset
    kind = ViMac.from_bytes(command).entry_type
    if kind == ViMacEntry.HASHVEC:
        return
    if kind == ViMacEntry.EXACTMAC:
        yield from (first + i * sizeof(ExactMac) + ExactMac.macaddr.offset for i in range(7))
    elif kind == ViMacEntry.EXACTMAC_VNI:
        yield from (first + i * sizeof(VniMac) + VniMac.macaddr.offset for i in range(2))
    else:
        yield first + _RAW_ADDRESS


_RAW_ADDRESS = 10
"""Of a raw entry, after raw_idx, data0 and two bytes of data1 (t4_alloc_raw_mac_filt())."""


def _span(start: int, size: int) -> list[int]:
    return list(range(start, start + size))


_PLACES: dict[str, Callable[[bytes, Chip], Iterator[Place]]] = {
    "VPD_DATA": _vpd,
    "PCIE_CONFIG": _config,
    "MPS_TCAM": _tcam,
    "REG_DUMP": _registers,
    "TP_INDIRECT": _keys,
    "RSS_VF_CONF": _scramblers,
    "MBOX_LOG": _mailbox,
}
