"""Processes killed at random moments: nothing is half-written or blocks the next start."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from pathlib import Path
from random import Random

from tests.fuzz import command
from tests.fuzz.case import Broken, Case
from tests.fuzz.small_card import profile
from tests.support.cliruns import command as words
from tests.support.cliruns import ready
from vmcoredd import vmcore

SIGNALS = ("SIGKILL", "SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
BOUND = 10.0
"""Seconds until a signalled process has ended, and until the next server is ready."""
MOMENTS = {"dump": 1.2, "extract": 0.6, "emulate": 1.0}
"""Seconds within which each command is killed: about as long as it takes."""


def make(random: Random) -> Case:
    """A case: a command, a signal and a moment."""
    what = random.choice(list(MOMENTS))
    return {
        "command": what,
        "signal": random.choice(SIGNALS),
        "after": random.uniform(0, MOMENTS[what]),
        "force": random.random() < 0.5,
    }


class Runner(contextlib.AbstractContextManager["Runner"]):
    """Makes the vmcore to extract from."""

    def __init__(self, folder: Path) -> None:
        self._card = profile(folder)
        self._whole = folder / "whole"
        self._folder = folder / "work"
        self._folder.mkdir()
        command.run("dump", "--card", self._card, "-o", self._whole).ended_with(0)
        with vmcore.Reader(self._whole) as reader:
            self._index = reader.device_dumps[0].index
            self._payload = bytes(reader.payload(self._index))

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, case: Case) -> None:
        """Starts a command, kills it, and looks at what it left."""
        output = self._folder / "output"
        for left in self._folder.iterdir():
            left.unlink()
        if case["force"] and case["command"] != "emulate":
            output.write_bytes(b"what was there before")
        self._killed(case, output)
        getattr(self, f"_after_{case['command']}")(case, output)

    def _killed(self, case: Case, output: Path) -> None:
        force = ["--force"] if case["force"] else []
        arguments = {
            "dump": ["--card", self._card, "-o", output, *force],
            "extract": [self._whole, "--index", self._index, "-o", output, *force],
            "emulate": ["--card", self._card, "--socket", output],
        }[case["command"]]
        with subprocess.Popen(
            words(case["command"], *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(case["after"])
            process.send_signal(signal.Signals[case["signal"]])
            try:
                _, err = process.communicate(timeout=BOUND)
            except subprocess.TimeoutExpired as error:
                process.kill()
                raise Broken(f"{case['signal']} was not heard in {BOUND:g} s") from error
        if b"AddressSanitizer" in err or process.returncode in (-signal.SIGSEGV, -signal.SIGABRT):
            raise Broken(f"ended with {process.returncode}\n{err.decode(errors='replace')}")

    def _after_dump(self, case: Case, output: Path) -> None:
        self._only(output, case)
        if output.exists() and output.read_bytes() != b"what was there before":
            with vmcore.Reader(output) as reader:
                if reader.damage or not reader.device_dumps:
                    raise Broken(f"a half-written vmcore: {reader.damage}")

    def _after_extract(self, case: Case, output: Path) -> None:
        self._only(output, case)
        before = (b"what was there before", self._payload)
        if output.exists() and output.read_bytes() not in before:
            raise Broken("a half-written payload")

    def _only(self, output: Path, case: Case) -> None:
        """Only the output may be there, and it must be if it was before."""
        left = {path.name for path in self._folder.iterdir()} - {output.name}
        if left:
            raise Broken(f"left behind: {', '.join(left)}")
        if case["force"] and not output.exists():
            raise Broken("what was there before is gone")

    def _after_emulate(self, case: Case, output: Path) -> None:
        """The next server starts on the same path, and ends without a trace."""
        begin = time.monotonic()
        arguments = words("emulate", "--card", self._card, "--socket", output)
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            try:
                ready(process)
                took = time.monotonic() - begin
            finally:
                process.terminate()
                process.wait(BOUND)
        left = [path.name for path in self._folder.iterdir()]
        if took > BOUND or left:
            raise Broken(f"the next server was ready after {took:.1f} s and left {left}")
