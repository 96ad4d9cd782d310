"""What the firmware did before the driver came: its links, and the first records of its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chip.devlog import Facility, Level
from emu.firmware import links
from emu.flash import version

if TYPE_CHECKING:
    from emu.firmware.firmware import Firmware

SECONDS_TO_BOOT = 3
STEP = 20_000
"""Core clock cycles between two records, at least."""


def boot(firmware: Firmware) -> None:
    """Starts the firmware, and logs how."""
    firmware.state.links = links.initial(firmware.profile)
    firmware.state.ticks = firmware.profile.card.core_clock * 1000 * SECONDS_TO_BOOT
    _log(firmware)


def _log(firmware: Firmware) -> None:
    note, random = firmware.note, firmware.card.state.random("boot log")
    start, profile = firmware.state.ticks, firmware.profile
    firmware.state.ticks = start // SECONDS_TO_BOOT

    def say(facility: Facility, text: str, *operands: int, level: Level = Level.INFO) -> None:
        firmware.state.ticks += STEP + random.randrange(STEP)
        note(facility, text, *operands, level=level)

    say(Facility.CORE, "firmware 0x%08x starting", version(profile.firmware.version))
    say(Facility.CORE, "core clock %u kHz", profile.card.core_clock)
    for number, memory in enumerate(firmware.card.memories):
        say(Facility.HW, "memory %u: base 0x%08x, %u KiB", number, memory.base, memory.size >> 10)
    for number, region in enumerate(firmware.card.state.memory_map):
        say(Facility.RES, "region %u: 0x%08x, %u bytes", number, region.base, region.size)
    say(Facility.CF, "configuration file %u read from flash", profile.vpd.config_version)
    for function in firmware.card.state.queues.functions[:8]:
        say(
            Facility.RES,
            f"{function.name}: egress queues %u from %u, ingress queues %u from %u",
            function.egress_count,
            function.egress,
            function.ingress_count,
            function.ingress,
        )
    for port in range(profile.ports.count):
        say(Facility.PORT, "port %u: module inserted, type %u", port, 2)
        say(Facility.PORT, "port %u: link up, %u Gbps", port, profile.ports.speed)
    say(Facility.TM, "port %u: rate limit class 0 unused", 0, level=Level.DEBUG)
    firmware.state.ticks = start
