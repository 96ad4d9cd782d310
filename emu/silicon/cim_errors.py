"""CIM: what can go wrong in the processor that runs the firmware.

The CIM reports an access that the processor made in vain to an address without anything, or that
got no answer, by a cause, the address, and the request in the trace of its interface.
"""

from __future__ import annotations

from vmcoredd.chip.devlog import Facility, Level
from vmcoredd.chip.firmware import Eval
from vmcoredd.emu.silicon.model import Model, fault

TRACE_ENTRY = 8
"""Pointers of the interface analyser that each entry takes; six of them show words."""
CONTROL_READ, WHOLE_WORD = 0x01, 0x000F
"""Cntl and DataBE of a request that reads one word (assumed)."""
ILLEGAL_ADDRESS, SILENT_ADDRESS = 0x1FFF_FFF0, 0x4000_7E74
"""Addresses in the processor's view (assumed): no block is at the first, the second is TP's."""
KINDS = {kind.name.lower(): kind for kind in Eval}


class ProcessorAccess(Model):
    """Accesses of the processor to other blocks and to memory."""

    @fault(
        "cim-illegal-access",
        "The firmware read an address that no block has: CIM_HOST_UPACC_INT_CAUSE, CIM_PIF_LA.",
        reports=True,
    )
    def read_nothing(self) -> None:
        self._report("SglRdPlInt", "IllTransInt")
        self._address("Illegal", ILLEGAL_ADDRESS)
        self._trace(ILLEGAL_ADDRESS, age=0)
        text = "illegal read of address 0x%08x"
        self.firmware.tell((Level.ERR, Facility.CORE, text, ILLEGAL_ADDRESS))

    @fault(
        "cim-access-timeout",
        "A block did not answer the firmware: CIM_HOST_UPACC_INT_CAUSE, CIM_PIF_LA.",
        reports=True,
    )
    def get_no_answer(self) -> None:
        self._report("TimeOutInt")
        self._address("TimeOut", SILENT_ADDRESS)
        self._trace(SILENT_ADDRESS, age=1)
        text = "no answer from address 0x%08x"
        self.firmware.tell((Level.ERR, Facility.HW, text, SILENT_ADDRESS))

    @fault(
        "cim-memory-timeout",
        "Adapter memory did not answer the firmware: CIM_HOST_UPACC_INT_CAUSE.",
        reports=True,
    )
    def get_no_memory(self) -> None:
        self._report("TimeOutMAInt")

    def _report(self, *causes: str) -> None:
        self.spaces.set_bits(self.r.CIM_HOST_UPACC_INT_CAUSE, *causes)
        self.interrupt("CIM", self.r.CIM_HOST_INT_CAUSE, "uPAccNonZero")

    def _address(self, kind: str, address: int) -> None:
        register = self.r[f"CIM_DEBUG_ADDR_{kind.upper()}"]
        self.spaces.put(register, **{f"DAddr{kind}": address >> 2})

    def _trace(self, address: int, age: int) -> None:
        """Makes a request the newest of the outbound trace, or one `age` entries older."""
        status = self.r.CIM_DEBUGSTS
        space = self.spaces.space("cim_po_la")
        newest = status.get(self.spaces.get(status), "POLADbgWrPtr") - TRACE_ENTRY
        control = CONTROL_READ << 22 | WHOLE_WORD
        space.fill((newest - TRACE_ENTRY * age) % space.count, [0, 0, 0, 0, address, control])


class ProcessorState(Model):
    """The processor stops, by itself or because the host stopped it."""

    @fault(
        "firmware-{}",
        "The firmware has stopped, PCIE_FW.EVAL is {upper}: causes, and its last words in DEV_LOG.",
        each=tuple(KINDS),
        reports=True,
    )
    def fail(self, kind: str) -> None:
        """A crash forces an interrupt of timer 0 (t4_hw.c, cim_intr_handler())."""
        self.firmware.fail(KINDS[kind])
        if KINDS[kind] is Eval.CRASH:
            self.interrupt("CIM", self.r.CIM_HOST_INT_CAUSE, "Timer0Int")

    @fault(
        "firmware-halted",
        "The processor is in reset: PCIE_FW.HALT, CIM_BOOT_CFG.uPCRst; no command is answered.",
        reports=True,
    )
    def halt(self) -> None:
        """The host holds it in reset, as before firmware is loaded (t4_hw.c, t4_fw_halt())."""
        self.firmware.halt()
        self.spaces.set_bits(self.r.CIM_BOOT_CFG, "uPCRst")
