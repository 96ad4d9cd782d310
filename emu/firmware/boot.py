"""What the firmware did before the driver came: its links, and the first records of its log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vmcoredd.chip.devlog import Facility
from vmcoredd.chip.firmware import PortModule
from vmcoredd.emu.firmware import links
from vmcoredd.emu.flash import version
from vmcoredd.emu.scenario.queues import PFS

if TYPE_CHECKING:
    from vmcoredd.emu.firmware.firmware import Firmware

SECONDS_TO_BOOT = 3
STEP = 20_000
"""Core clock cycles between two records, at least."""


def boot(firmware: Firmware) -> None:
    """Starts the firmware, and logs how."""
    state, random = firmware.state, firmware.card.scenario.random("boot log")
    state.links = links.initial(firmware.profile)
    second = firmware.profile.card.core_clock * 1000
    state.ticks = second
    for facility, text, *operands in _story(firmware):
        state.ticks += STEP + random.randrange(STEP)
        firmware.note(facility, text, *operands)
    state.ticks = second * SECONDS_TO_BOOT


Record = tuple[Facility, str, *tuple[int, ...]]
"""Who says something, the format, and its operands."""


def _story(firmware: Firmware) -> Iterator[Record]:
    profile, state = firmware.profile, firmware.card.scenario
    yield Facility.CORE, "firmware 0x%08x starting", version(profile.firmware.version)
    yield Facility.CORE, "core clock %u kHz", profile.card.core_clock
    for i, memory in enumerate(firmware.card.memories):
        yield Facility.HW, "memory %u: 0x%08x, %u KiB", i, memory.base, memory.size >> 10
    for i, region in enumerate(state.memory_map):
        yield Facility.RES, "region %u: 0x%08x, %u bytes", i, region.base, region.size
    yield Facility.CF, "configuration file %u read from flash", profile.vpd.config_version
    for pf, function in enumerate(state.queues.functions[:PFS]):
        egress, ingress = function.egress_count, function.ingress_count
        yield Facility.RES, "PF%u: %u egress queues, %u ingress queues", pf, egress, ingress
    for port in range(profile.ports.count):
        yield Facility.PORT, "port %u: module of type %u inserted", port, int(PortModule.SR)
        yield Facility.PORT, "port %u: link up, %u Gbps", port, profile.ports.speed
