"""The firmware of a raised card that takes over from the raised state, for a driver to attach.

It is initialised, so that the driver does not reset the card (adap_init0()). What the driver sets
up overwrites what the dump says of the same queue, address or register; all else stays.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from vmcoredd.chip.devlog import DevlogEntry
from vmcoredd.chip.pci import PF
from vmcoredd.emu.firmware import Firmware
from vmcoredd.emu.firmware.state import Mode
from vmcoredd.raised.raising import Raising
from vmcoredd.raised.reading import vital_data


def revive(on: Raising) -> None:
    """Makes the firmware run, and its mailbox idle."""
    firmware = on.card.firmware
    state = firmware.state
    state.mode, state.halted, state.initialised = Mode.ALIVE, False, True
    state.master, state.log_is_shown = None, True
    state.logged, state.ticks = _end_of_log(firmware)
    on.set(on.r.CIM_PF_MAILBOX_CTRL, 0, PF)
    _take_address(on)
    firmware.show()


def _end_of_log(firmware: Firmware) -> tuple[int, int]:
    """Returns the number of the next record in the log, and the time of the last one."""
    last = None
    for place in range(firmware.log.entries):
        record = DevlogEntry.from_bytes(firmware.log.read(place))
        is_in_place = record.timestamp and record.seqno % firmware.log.entries == place
        if is_in_place and (last is None or record.seqno > last.seqno):
            last = record
    return (last.seqno + 1, last.timestamp) if last else (0, firmware.state.ticks)


def _take_address(on: Raising) -> None:
    """Gives the ports the addresses that follow the one on the dump's label."""
    vital, scenario = vital_data(on.dump), on.card.scenario
    with suppress(ValueError):
        if vital and len(address := bytes.fromhex(vital.mac[:12].decode("ascii", "replace"))) == 6:
            scenario.identity = replace(scenario.identity, base_mac=address)
