"""The firmware: a model that answers mailbox commands, keeps a device log, and can fail.

`Firmware.ask(pf, data)` takes the 64 bytes of a mailbox and gives the 64 bytes of the answer. What
each command does stands in the module of its subject, in a function marked `@answers(Layout)` with
the command's class of `chip.firmware`; it gives the answer (`ask.reply(...)`), or raises `Refused`
with the return value that the driver shall see. A command without such a function is refused.
"""

from vmcoredd.emu.firmware import device, interfaces, ldst, params, ports, queues, rss
from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.firmware.state import Mode

__all__ = ["Firmware", "Mode", "device", "interfaces", "ldst", "params", "ports", "queues", "rss"]
