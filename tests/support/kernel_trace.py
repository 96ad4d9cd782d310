"""Makes the trace that tests replay: Debian's kernel probes a T6, and an interface comes up.

python -m tests.support.kernel_trace     # boots a guest: a minute
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # as pytest has it

import stock

TRACE = Path(__file__).parents[1] / "data" / "kernel-probe.npz"
UP = """
ip link set {0} up
for i in $(seq 100); do [ "$(cat /sys/class/net/{0}/carrier)" = 1 ] && break; sleep 0.1; done
sleep 1; ethtool -S {0} >/dev/null; ip link set {0} down; ip -o link show {0}
"""
"""What is recorded, besides the probe: an interface comes up, says hello to IPv6, and goes down."""


def squeezed(path: Path, to: Path) -> None:
    """Copies a trace, compressed as well as a ZIP can be."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(to, "w") as into:
        for name in source.namelist():
            member = zipfile.ZipInfo(name)  # of 1980: the file depends on its content alone
            into.writestr(member, source.read(name), zipfile.ZIP_DEFLATED, 9)


def main() -> None:
    """Records in a guest of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        setup = stock.Setup(wires=("a.0=a.1",), trace=True)
        with stock.booted(setup, folder, lambda *_: None) as guest:
            guest.run(UP.format(guest.interfaces["a.0"]))
            guest.end_traces()
        TRACE.parent.mkdir(exist_ok=True)
        squeezed(folder / "a.npz", TRACE)
    print(f"{TRACE}: {TRACE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
