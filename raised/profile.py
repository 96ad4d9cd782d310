"""The profile of the card that a dump is of: what its registers say of the chip, its memories and
ports, and what its vital product data say.

Nothing in a dump is trusted: what is outside of a profile's limits gets the nearest value within.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, replace
from functools import cache

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.chip.pci import VENDOR_CHELSIO
from vmcoredd.cudbg.dump import Dump, NoSuchEntity
from vmcoredd.cudbg.errors import DumpFormatError
from vmcoredd.cudbg.words import Word, find, words_of
from vmcoredd.emu import profile as profiles
from vmcoredd.emu.memory import NAMES
from vmcoredd.emu.profile import FlashInfo, MemorySizes, Profile
from vmcoredd.raised.reading import vital_data

_NAME, _HEALTHY = "raised", "healthy"
_FLASH_ID = (1 << 24) - 1
"""The greatest id of a flash."""


@cache
def _typical(chip: Chip) -> Profile:
    """Returns the profile whose values stand in for what a dump does not tell."""
    known = (profiles.load(name) for name in profiles.profiles())
    return next(profile for profile in known if profile.chip == chip)


def healthy_profile_of(dump: Dump) -> Profile:
    """Returns the profile of a healthy card of the same kind: of the known card that is most like
    the dump's, with the dump's memories and ports. Raises as `profile_of`."""
    made = profile_of(dump)
    known = [
        each for name in profiles.profiles() if (each := profiles.load(name)).chip == dump.chip
    ]
    config = word_of(dump, "LE_DB_CONFIG") or 0
    hashes = bool(dump.chip.r.LE_DB_CONFIG.get(config, "HASHEN"))

    def unlike(each: Profile) -> tuple[bool, ...]:
        same_id = each.card.device_id == made.card.device_id
        return not same_id, each.tables.hash_filters != hashes, each.memory != made.memory

    return replace(_profile(dump, min(known, key=unlike)), name=_HEALTHY)


def profile_of(dump: Dump) -> Profile:
    """Returns the profile; raises UnknownFormat if the chip is not known."""
    return _profile(dump, _typical(dump.chip))


def _profile(dump: Dump, base: Profile) -> Profile:
    chip = dump.chip
    card = replace(base.card, device_id=_device_id(dump, base), revision=dump.header.chip_ver & 0xF)
    firmware, memory, ports = base.firmware, _memory(dump, base), base.ports
    if (vital := vital_data(dump)) and all(part <= 0xFF for part in vital.firmware):
        firmware = replace(firmware, version=".".join(map(str, vital.firmware)))
    if (word := word_of(dump, "MPS_CMN_CTL")) is not None:
        count = 1 << chip.r.MPS_CMN_CTL.get(word, "NumPorts")
        ports = replace(ports, count=min(count, chip.max_ports))
    made = replace(base, name=_NAME, card=card, firmware=firmware, memory=memory, ports=ports)
    if 0 < (flash := word_of(dump, "SF_DATA") or 0) <= _FLASH_ID:  # which the probe reads there
        made = replace(made, flash=FlashInfo(flash))
    return replace(made, faults=())


def word_of(dump: Dump, name: str) -> int | None:
    """Returns the first word of a register; None if the dump has none that was measured."""
    found = find(dump, name)
    return found[0].value if found and found[0].value != U32_MASK else None


def _device_id(dump: Dump, base: Profile) -> int:
    """Returns the id in configuration space, if it is one of the chip's."""
    words = [word for word in _words(dump, "PCIE_CONFIG") if word.offset == 0]
    if words:
        vendor, device = words[0].value & 0xFFFF, words[0].value >> 16
        if vendor == VENDOR_CHELSIO and device >> 12 == base.card.device_id >> 12:
            return int(device)
    return base.card.device_id


def _words(dump: Dump, name: str) -> Iterator[Word]:
    with suppress(DumpFormatError, NoSuchEntity):
        yield from words_of(dump, name)


def _memory(dump: Dump, base: Profile) -> MemorySizes:
    """Returns the sizes that the memory arbiter's registers tell, switched on or not."""
    sizes: dict[str, int] = vars(base.memory).copy()
    for kind in dump.chip.memory.types:
        word, name = word_of(dump, kind.bar), NAMES[kind.number]
        if word is not None:
            sizes[name] = dump.chip.r[kind.bar].get(word, kind.size)
    sizes["edc1"] = sizes["edc0"]
    if sizes["mc0"]:
        sizes["hma"] = 0
    else:
        sizes["mc1"] = 0
    limits = {item.name: item.metadata for item in fields(MemorySizes)}
    return MemorySizes(
        **{
            name: min(max(size, limits[name]["low"]), limits[name]["high"])
            for name, size in sizes.items()
        }
    )
