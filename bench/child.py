"""The child processes of the benchmark: `python -m vmcoredd.bench.child ROLE ...`.

    serve JSON            serves a card; prints `ready` once clients can connect
    peak FILE ARGUMENTS   runs `vmcoredd ARGUMENTS` and writes the peak of its memory to FILE
    decode VMCORE         decodes a dump whole; prints the seconds of processor time that it took

The peak is the kernel's VmHWM of the process, in bytes, and ru_maxrss of the largest of those that
it waited for. They count all resident pages, including those of memfds (the note buffers) and
mapped files, but not the file cache. This is a separate module because the process must import
nothing that the command does not.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import sys
from contextlib import nullcontext
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage


def serve(argument: str) -> None:
    """Serves a card; `argument` is the JSON of a `bench.processes.CardServer` and its `path`."""
    from vmcoredd.emu import Card, wires
    from vmcoredd.emu.recording import recording
    from vmcoredd.emu.server import serve

    options = json.loads(argument)
    if options["cpus"]:
        os.sched_setaffinity(0, options["cpus"])
    card = Card.load(
        options["card"],
        scene=options["scene"],
        map_window=options["map_window"],
        **options["overrides"],
    )
    wires.plug(options["wires"], {"": card})
    trace = recording(card, f"{options['path']}.npz") if options["traced"] else nullcontext()
    with trace:
        serve(card, options["path"], ready=1, spin=options["spin"])


def peak(file: str) -> None:
    """Runs the command with the remaining arguments, and exits with its exit code."""
    try:
        runpy.run_module("vmcoredd", run_name="__main__")
    finally:
        status = Path("/proc/self/status").read_text()
        found = re.search(r"(?m)^VmHWM:\s+(\d+) kB$", status)
        own = int(found[1]) if found else 0
        largest = getrusage(RUSAGE_CHILDREN).ru_maxrss
        Path(file).write_text(json.dumps([own << 10, max(own, largest) << 10]))


def decode(vmcore: str) -> None:
    """Decodes the first dump of a file: tables of registers are read as they are in a command."""
    from vmcoredd.bench.files import decode_all
    from vmcoredd.bench.measure import processor_time
    from vmcoredd.cudbg import is_dump
    from vmcoredd.vmcore import Reader

    with Reader(vmcore, is_payload=is_dump) as reader:
        data = reader.payload(reader.device_dumps[0].index)
    print(processor_time(lambda: decode_all(data)))


if __name__ == "__main__":
    role, argument = sys.argv.pop(1), sys.argv.pop(1)
    {"serve": serve, "peak": peak, "decode": decode}[role](argument)
