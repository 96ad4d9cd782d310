"""The filter mode, which is what filters can match: a profile or a configuration file chooses it.

Of a configuration file, firmware's model takes nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from vmcoredd.chip.devlog import Facility
from vmcoredd.chip.firmware import Retval
from vmcoredd.chip.le import (
    FILTER_FIELDS,
    FILTER_MODE_FLAGS,
    FILTER_TUPLE_BITS,
    VNIC_ID_MODE,
    filter_mode,
    filter_tuple_bits,
)
from vmcoredd.emu.firmware.answers import Refused
from vmcoredd.emu.firmware.firmware import Firmware

LONGEST = 64 * 1024
"""Bytes of a configuration file (t4_hw.h, FLASH_CFG_MAX_SIZE)."""
BITS = {name: filter_mode(name) for name, _ in FILTER_FIELDS} | FILTER_MODE_FLAGS
TEXT = re.compile(rb"[\t\n\r -~]*")


def set_filter_mode(fw: Firmware, mode: int, mask: int, *, outer: bool = False) -> None:
    """Sets the fields that filters can match, and those that hash filters have to. vnic_id is an
    outer VLAN, or the interface that gets a frame."""
    interfaces = bool(mode & VNIC_ID_MODE) and not outer
    fw.spaces.set(fw.r.TP_VLAN_PRI_MAP, mode)
    fw.spaces.put(fw.r.TP_INGRESS_CONFIG, VNIC=int(interfaces))
    fw.engine.set_filter_mode(mode, interfaces=interfaces)
    fw.state.filter_mask = mask


def read_file(fw: Firmware, kind: int, offset: int) -> None:
    """Takes the filter mode from the configuration file at an offset of a memory, if it has one.

    Refused if there is no such memory, or if filters cannot match that.
    """
    found = [memory for memory in fw.memories if memory.type.number == kind]
    if not found or offset >= found[0].size:
        raise Refused(Retval.ENOENT, f"no memory {kind} at {offset:#x} for a configuration file")
    room = min(LONGEST, found[0].size - offset)
    data = TEXT.match(fw.memories.read(found[0].base + offset, room))
    settings = _settings(data[0].decode("ascii") if data else "")
    if "filterMode" not in settings:
        return
    mode = _bits(settings, "filterMode")
    if (bits := filter_tuple_bits(mode)) > FILTER_TUPLE_BITS:
        raise Refused(Retval.EINVAL, f"filterMode: {bits} bits, of {FILTER_TUPLE_BITS}")
    mask = _bits(settings, "filterMask") if "filterMask" in settings else mode
    set_filter_mode(fw, mode, mask, outer=settings.get("vnicMode") == "outer_vlan")
    fw.note(Facility.CORE, "filter mode 0x%x, mask 0x%x", mode, mask)


def _settings(text: str) -> dict[str, str]:
    """Returns the settings of a file's global section; comments begin with a number sign."""
    found: dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        content = line.split("#")[0].strip()
        name, is_setting, value = content.partition("=")
        if content.startswith("["):
            section = content
        elif is_setting and section == "[global]":
            found[name.strip()] = value.strip()
    return found


def _bits(settings: Mapping[str, str], key: str) -> int:
    """Returns the bits of TP_VLAN_PRI_MAP that a list of names selects."""
    names = {name.strip() for name in settings[key].split(",")}
    if unknown := names - BITS.keys():
        raise Refused(Retval.EINVAL, f"{key}: unknown {', '.join(sorted(unknown))}")
    return sum(BITS[name] for name in names)
