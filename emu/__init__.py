"""An emulated Chelsio T5/T6 adapter, in process or behind a vfio-user socket.

card = Card.load("t62100-cr", seed=1): BARs, config space, firmware, memories. `emu.server` serves
one; `profiles()` lists the cards there are, `faults()` what can be made to fail.
"""

from emu.card import Card
from emu.errors import AccessError, EmuError, ModelError, ProfileError
from emu.oddity import Oddity
from emu.profile import Profile, profiles
from emu.silicon import faults
from emu.snapshot import Snapshot

__all__ = [
    "AccessError",
    "Card",
    "EmuError",
    "ModelError",
    "Oddity",
    "Profile",
    "ProfileError",
    "Snapshot",
    "faults",
    "profiles",
]
