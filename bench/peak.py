"""`python -m bench.peak FILE ARGUMENTS...`: runs `vmcoredd ARGUMENTS`, and writes the peak of its
resident memory to FILE.

The peak is the kernel's VmHWM of this process alone. It counts every page that was mapped, those of
memfds (the note buffers) and of mapped files included; pages of the file cache are not part of it.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path


def main() -> None:
    """The command's exit code is this program's."""
    from vmcoredd.cli.main import main as command

    file = Path(sys.argv.pop(1))
    try:
        command()
    finally:
        peak = re.search(r"(?m)^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text())
        file.write_text(json.dumps(int(peak[1]) * 1024 if peak else 0))


if __name__ == "__main__":
    main()
