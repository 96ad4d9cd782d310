"""What the firmware logs before it stops, for each kind of error that PCIE_FW.EVAL can name.

The texts are ours; no source gives those of the real firmware.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from vmcoredd.chip.devlog import Facility, Level
from vmcoredd.chip.firmware import Eval
from vmcoredd.chip.pci import PF
from vmcoredd.emu.scenario import Scenario

Line = tuple[Level, Facility, str, *tuple[int, ...]]
"""Level, facility, printf format, operands."""

EXCEPTION_LOAD_STORE = 3
LIMIT_CELSIUS = 105


def last_words(kind: Eval, scenario: Scenario) -> Iterator[Line]:
    """Yields the records that tell how the firmware came to the error, worst last."""
    return _STORIES[kind](scenario, scenario.random(f"last words {kind.name}"))


def _crash(scenario: Scenario, random: Random) -> Iterator[Line]:
    memory = scenario.memory_map["uP RAM"]
    pc, address = memory.base + random.randrange(0, memory.size, 4), random.getrandbits(32)
    a0, a1, a2, a3 = (random.getrandbits(32) for _ in range(4))
    core = Facility.CORE
    yield Level.ERR, core, "exception %u at 0x%08x: load or store", EXCEPTION_LOAD_STORE, pc
    yield Level.ERR, core, "bad address 0x%08x, return address 0x%08x", address, pc & ~0xFFF
    yield Level.CRIT, core, "a0 0x%08x a1 0x%08x a2 0x%08x a3 0x%08x", a0, a1, a2, a3
    yield Level.EMERG, core, "crash: the firmware has stopped"


def _preparation(scenario: Scenario, random: Random) -> Iterator[Line]:
    lane = random.randrange(8)
    yield Level.ERR, Facility.HW, "memory controller %u: training of lane %u failed", 0, lane
    yield Level.CRIT, Facility.HW, "memory controller %u: given up after %u attempts", 0, 3
    yield Level.EMERG, Facility.CORE, "device preparation failed, code %d", -5


def _configuration(scenario: Scenario, random: Random) -> Iterator[Line]:
    line, wanted = random.randrange(20, 400), 65_536 + random.randrange(1024)
    yield Level.ERR, Facility.CF, "configuration file: line %u: value out of range", line
    yield Level.CRIT, Facility.RES, "PF%u: %u egress queues wanted, fewer are left", PF, wanted
    yield Level.EMERG, Facility.CF, "device configuration failed, code %d", -22


def _initialization(scenario: Scenario, random: Random) -> Iterator[Line]:
    port = random.randrange(scenario.profile.ports.count)
    yield Level.ERR, Facility.MAC, "port %u: the PLL of its serdes does not lock", port
    yield Level.CRIT, Facility.PHY, "port %u: no reference clock", port
    yield Level.EMERG, Facility.CORE, "device initialization failed, code %d", -110


def _unexpected(scenario: Scenario, random: Random) -> Iterator[Line]:
    queues = scenario.queues
    event, used = random.randrange(128, 256), [one.id for one in queues.ingress]
    queue = random.choice(used or [queues.unified.ingress])
    yield Level.ERR, Facility.DMAQ, "queue %u: message 0x%02x belongs to no module", queue, event
    yield Level.CRIT, Facility.CORE, "unexpected event 0x%02x", event
    yield Level.EMERG, Facility.CORE, "the firmware has stopped after an unexpected event"


def _overheat(scenario: Scenario, random: Random) -> Iterator[Line]:
    celsius, limit = LIMIT_CELSIUS + random.randrange(1, 8), LIMIT_CELSIUS
    yield Level.NOTICE, Facility.HW, "temperature %u C, limit %u C", limit - 5, limit
    yield Level.CRIT, Facility.HW, "temperature %u C, limit %u C", celsius, limit
    yield Level.EMERG, Facility.CORE, "insufficient airflow: the device is stopped at %u C", celsius


def _shutdown(scenario: Scenario, random: Random) -> Iterator[Line]:
    yield Level.NOTICE, Facility.CORE, "PF%u: the device is to shut down", PF
    yield Level.ERR, Facility.RES, "PF%u: %u queues are still in use", PF, random.randrange(1, 40)
    yield Level.EMERG, Facility.CORE, "the device has shut down"


_STORIES: dict[Eval, Callable[[Scenario, Random], Iterator[Line]]] = {
    Eval.CRASH: _crash,
    Eval.PREPARATION: _preparation,
    Eval.CONFIGURATION: _configuration,
    Eval.INITIALIZATION: _initialization,
    Eval.UNEXPECTED: _unexpected,
    Eval.OVERHEAT: _overheat,
    Eval.SHUTDOWN: _shutdown,
}
