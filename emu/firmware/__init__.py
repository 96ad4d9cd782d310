"""The firmware: a model that answers mailbox commands, keeps a device log, and can fail.

`Firmware.execute(pf, data)` takes the 64 bytes of a mailbox and returns the 64 bytes of the reply.
Each command is handled by a function marked `@answers(Layout)`, where Layout is the command's class
in `chip.firmware`:

    @answers(Bye)
    def bye(fw: Firmware, pf: int, cmd: Bye) -> FwCommand:
        free_function(fw, pf)
        return cmd.reply()                              # fields given here replace the command's

The modules of this folder are discovered, so no list of commands exists. Put a function into the
module of its subject, named as in `chip/firmware/`, or into a new one. Raise `Refused(retval, why)`
to refuse a command. The driver gets `retval`, and the refusal is logged. A command that no function
answers is refused with EINVAL.

A command's function has `fw.state` (the firmware's state), `fw.scenario` (the state that the
crashed driver left), `fw.spaces` and `fw.r` (registers and tables), `fw.memories`, `fw.profile`,
`fw.chip`, and `fw.note()`, which writes to the device log.
"""

from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.firmware.freeing import free_function
from vmcoredd.emu.firmware.state import Mode

__all__ = ["Firmware", "Mode", "free_function"]
