"""The numbers and names of all published entities, and the short names of the vendor's collector.

Linux collects some of them; FreeBSD's driver and the vendor's collector collect more. Sources:
cudbg_if.h of Linux, cudbg.h of FreeBSD, and the vendor's cudbg_if.h for what neither has any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from vmcoredd.cudbg.container import COMPRESSION_FASTLZ, MAX_ENTITY, BigHeader, Header
from vmcoredd.cudbg.entity import entities

EXT_ENTITY = 63
"""Entities that were collected later, each with its header before its data."""
_QUEUES = tuple(f"IPC{i}" for i in range(1, 8))
_OTHERS: Mapping[int, str] = MappingProxyType(
    {
        23: "RSS_PF_CONF",
        24: "RSS_KEY",
        26: "RSS_CONF",
        28: "SW_STATE",
        29: "WTP",
        32: "TCP_STATS",
        33: "TP_ERR_STATS",
        34: "FCOE_STATS",
        35: "RDMA_STATS",
        38: "CPL_STATS",
        39: "DDP_STATS",
        40: "WC_STATS",
        42: "LB_STATS",
        49: "MAC_STATS",
        52: "FULL",
        53: "TX_RATE",
        EXT_ENTITY: "EXT_ENTITY",
        69: "UPLOAD",
    }
)
_LINUX: Mapping[int, str] = MappingProxyType({71: "FLASH"})
_VENDOR: Mapping[int, str] = MappingProxyType(
    {
        71: "MOD_EEPROM",
        72: "FLASH",
        73: "CIM_IBQ_TP2",
        74: "CIM_IBQ_TP3",
        **{75 + i: f"CIM_IBQ_{queue}" for i, queue in enumerate(_QUEUES)},
        **{82 + i: f"CIM_OBQ_{queue}" for i, queue in enumerate(_QUEUES)},
    }
)
"""From 71 on the vendor's numbers are not Linux's."""

_SHORT: Mapping[str, str] = MappingProxyType(
    {
        "RSS_PF_CONF": "rss_pf_config",
        "RSS_KEY": "rss_key",
        "RSS_VF_CONF": "rss_vf_config",
        "RSS_CONF": "rss_config",
        "CIM_OBQ_RXQ0": "obq_sge_rx_q0",
        "CIM_OBQ_RXQ1": "obq_sge_rx_q1",
        "PBT_TABLE": "pbttables",
    }
)
"""Short names other than the name in lower case without underscores (a queue's: without CIM_)."""


def names_of(header: Header | BigHeader) -> dict[int, str]:
    """Returns the names of the entities, by number, in a dump with this header."""
    vendor = header.compress_type == COMPRESSION_FASTLZ or header.max_entities > MAX_ENTITY
    return {**_collected(), **_OTHERS, **(_VENDOR if vendor else _LINUX)}


def published() -> list[tuple[int, str, str]]:
    """Returns number, name and short name of all that Linux does not put into a crash dump."""
    every = [*_OTHERS.items(), *_LINUX.items(), *_VENDOR.items()]
    return [(number, name, short_name(name)) for number, name in every]


def short_name(name: str) -> str:
    """Returns the name in the options of the vendor's collector: `regdump` for REG_DUMP."""
    plain = name.removeprefix("CIM_") if name.startswith(("CIM_IBQ", "CIM_OBQ")) else name
    return _SHORT.get(name, plain.replace("_", "").lower())


def resolved(given: str, names: Mapping[int, str]) -> str:
    """Returns the one of `names` that `given` means in upper or lower case: a name, a short name, a
    number, or `entity` and a number; `given` itself if there is none."""
    wanted = given.casefold()
    number = wanted.removeprefix("entity").strip()
    if number.isascii() and number.isdecimal() and len(number) < 6 and int(number) in names:
        return names[int(number)]
    for name in names.values():
        if wanted in (name.casefold(), short_name(name)):
            return name
    return given


def _collected() -> dict[int, str]:
    return {known.number: known.name for known in entities().values()}
