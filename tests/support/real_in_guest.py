"""Runs in a guest, with this Python: dumps its adapters as real ones, and tells what it saw.

    python real_in_guest.py FOLDER PLAN

PLAN is JSON: addresses by role. Each dump goes to a file of the folder, and what was seen to
facts.json. One process does all, since Python takes half a minute to start where there is no KVM.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from vmcoredd import cudbg, driver
from vmcoredd.chip.pci import ConfigHeader, PciCommand
from vmcoredd.driver.real import vfio
from vmcoredd.driver.real.functions import Function, find_function, functions, refusals

COMMAND = ConfigHeader.command.offset
FEW = ["REG_DUMP", "MEMINFO", "PCIE_CONFIG", "VPD_DATA", "MPS_TCAM", "DEV_LOG", "EDC1"]
"""Entities of each kind that do not depend on those before: registers, tables, configuration space,
memories."""
ASKED = ["MBOX_LOG", "TID_INFO", "CLK", "HW_SCHED", "MPS_TCAM"]
"""Of which firmware is asked; the others take it a thousand commands."""


def command(function: Function) -> int:
    """A function's command register."""
    with (function.folder / "config").open("rb") as file:
        return int.from_bytes(os.pread(file.fileno(), 2, COMMAND), "little")


def set_command(function: Function, value: int) -> None:
    """Writes a function's command register."""
    with (function.folder / "config").open("r+b", buffering=0) as file:
        os.pwrite(file.fileno(), value.to_bytes(2, "little"), COMMAND)


def state(function: Function) -> dict[str, Any]:
    """What a dump has to leave as it was."""
    return {
        "command": command(function),
        "enable": function.text("enable"),
        "resets": function.reset_methods,
    }


def dump(address: str, path: Path, entities: list[str] | None = None, **how: Any) -> list[int]:
    """Dumps an adapter to a file; returns the opcodes of the commands that its firmware got."""
    buffer = bytearray(cudbg.DUMP_SIZE)
    with driver.open_pci(address, **how) as adapter:
        adapter.collect(memoryview(buffer), entities=entities)
        log = adapter.mailbox.log
    path.write_bytes(buffer)
    return sorted({entry.words[0] >> 56 for entry in (*log, *adapter.mailbox.log)})


def refusal(act: Callable[[], object]) -> str:
    """What is said by what must refuse."""
    try:
        act()
    except driver.Refused as error:
        return str(error)
    return ""


@contextmanager
def resets_on() -> Iterator[None]:
    """Lets VFIO open functions as any other user of it does, who leaves the resets on."""
    ours = vfio.resets_off
    vfio.resets_off = lambda function: nullcontext()  # type: ignore[assignment]
    try:
        yield
    finally:
        vfio.resets_off = ours


def through_sysfs(folder: Path, plan: dict[str, str]) -> dict[str, Any]:
    """Dumps two adapters, one of which has its memory decoding off."""
    facts: dict[str, Any] = {}
    lit, dark = find_function(plan["T6"]), find_function(plan["T5"])
    set_command(lit, command(lit) | PciCommand.MEMORY)
    set_command(dark, command(dark) & ~(PciCommand.MEMORY | PciCommand.MASTER))
    for role in ("T6", "T5"):
        function = find_function(plan[role])
        before = state(function)
        sent = dump(function.address, folder / role, None if role == "T6" else FEW)
        facts[role] = {"before": before, "after": state(function), "sent": sent}
    return facts


def bind(address: str) -> Function:
    """Binds a function to vfio-pci."""
    function = find_function(address)
    (function.folder / "driver_override").write_text("vfio-pci")
    (function.root / "bus/pci/drivers_probe").write_text(address)
    return function


def through_firmware(folder: Path, plan: dict[str, str]) -> dict[str, Any]:
    """Dumps an adapter whose firmware runs, and is asked."""
    return {"live": {"sent": dump(plan["live"], folder / "live", ASKED, attach=True)}}


def through_vfio(folder: Path, plan: dict[str, str]) -> dict[str, Any]:
    """Dumps an adapter with its resets off."""
    early = refusal(lambda: driver.open_pci(plan["sick"], via="vfio"))
    function = bind(plan["sick"])
    before = function.reset_methods
    sent = dump(function.address, folder / "sick", FEW, via="vfio")
    facts = {
        "early": early,
        "before": before,
        "after": function.reset_methods,
        "sent": sent,
        "sysfs": refusal(lambda: driver.open_pci(function.address)),
    }
    return {"vfio": facts}


def without_iommu(folder: Path, plan: dict[str, str]) -> dict[str, Any]:
    """Does what refusals tell to do on a machine without an IOMMU, and then dumps all."""
    address, done = plan["bare"], []
    for wanted in ("do without: (.*), then bind it", "bind it: (.*)"):
        found = re.search(wanted, refusal(lambda: driver.open_pci(address, via="vfio")))
        done.append(found[1] if found else f"nobody tells to {wanted}")
        subprocess.run(done[-1], shell=True, check=True)
    function = find_function(address)
    before, group = function.reset_methods, function.iommu_group
    sent = dump(address, folder / "bare", via="vfio")
    after = function.reset_methods
    return {"bare": {"done": done, "group": group, "before": before, "after": after, "sent": sent}}


def with_resets(folder: Path, plan: dict[str, str]) -> dict[str, Any]:
    """Dumps an equal adapter through VFIO with its resets on."""
    bind(plan["reset"])
    with resets_on():
        dump(plan["reset"], folder / "reset", FEW, via="vfio")
    return {}


def present() -> list[dict[str, Any]]:
    """The adapters, and by which ways they can be dumped."""
    return [
        {
            "address": function.address,
            "ways": [via for via in ("sysfs", "vfio") if not [*refusals(function, via)]],
        }
        for function in functions()
    ]


STEPS = {
    "T6": through_sysfs,
    "live": through_firmware,
    "sick": through_vfio,
    "bare": without_iommu,
    "reset": with_resets,
}
"""What is done, by the first role that it needs."""


def main(folder: Path, plan: dict[str, str]) -> None:
    """Does all for which there are adapters."""
    facts: dict[str, Any] = {"present": present()}
    for role, step in STEPS.items():
        if role in plan:
            facts |= step(folder, plan)
    (folder / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
