"""An emulated Chelsio T5/T6 adapter, in process or behind a vfio-user socket.

card = Card.load("t62100-cr", seed=1): BARs, config space, firmware, memories. `emu.server` serves
one; `profiles()` lists the cards there are, `faults()` what can be made to fail.
"""

if __name__ != "vmcoredd.emu":
    raise ImportError("import vmcoredd.emu, not emu")

from vmcoredd.emu.access_log import LoggedAccess
from vmcoredd.emu.card import Card
from vmcoredd.emu.errors import AccessError, EmuError, ModelError, ProfileError
from vmcoredd.emu.profile import Profile, profiles
from vmcoredd.emu.silicon import faults
from vmcoredd.emu.snapshot import Snapshot

__all__ = [
    "AccessError",
    "Card",
    "EmuError",
    "LoggedAccess",
    "ModelError",
    "Profile",
    "ProfileError",
    "Snapshot",
    "faults",
    "profiles",
]
