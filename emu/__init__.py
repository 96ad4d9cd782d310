"""An emulated Chelsio T5/T6 adapter, in process or behind a vfio-user socket.

`Card.load("t62100-cr", seed=1)` makes a card with BARs, config space, firmware and memories, and
`emu.server` serves it. `profiles()` lists the available cards, `faults()` the faults to inject.
"""

if __name__ != "vmcoredd.emu":
    raise ImportError("import vmcoredd.emu, not emu")

from vmcoredd.emu.access_log import LoggedAccess
from vmcoredd.emu.card import Card
from vmcoredd.emu.errors import AccessError, EmuError, ModelError, ProfileError
from vmcoredd.emu.profile import Profile, profiles
from vmcoredd.emu.scenario import Scene
from vmcoredd.emu.silicon import Fault, faults
from vmcoredd.emu.snapshot import Snapshot

__all__ = [
    "AccessError",
    "Card",
    "EmuError",
    "Fault",
    "LoggedAccess",
    "ModelError",
    "Profile",
    "ProfileError",
    "Scene",
    "Snapshot",
    "faults",
    "profiles",
]
