"""Faults of the server: of the process that stands for the card on the host's bus.

They need a card that is served. `dump --card` and a test's `card` have no server, and refuse them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmcoredd.emu.silicon.arguments import number
from vmcoredd.emu.silicon.model import Model, fault

if TYPE_CHECKING:
    from pyvfio_user import Server


class ServedBy(Model):
    """The server of a card, and whether it stands still."""

    def make(self) -> None:
        self.server: Server | None = None
        """Who serves the card, or did so last."""
        self.still: tuple[str, float | None] | None = None
        """The fault that makes it stand still, and for how many seconds; None: for good."""

    def save(self) -> object:
        return self.still

    def load(self, saved: tuple[str, float | None] | None) -> None:
        if saved == self.still:
            return
        if self.still and self.server:
            self.server.resume()
        self.still = None
        if saved:
            self._stand(*saved)

    @fault(
        "server-stalls",
        "The server answers nothing for so long, then goes on.",
        takes=number("MS", "milliseconds", 500),
        served=True,
    )
    def stall(self, milliseconds: int) -> None:
        self._stand(f"server-stalls={milliseconds}", milliseconds / 1000)

    @fault("server-stops", "The server answers nothing any more, as after SIGSTOP.", served=True)
    def stop(self) -> None:
        self._stand("server-stops", None)

    @fault(
        "server-dies",
        "The server ends without a word, as after SIGKILL: its socket refuses connections.",
        served=True,
    )
    def die(self) -> None:
        self.check().die()

    def _stand(self, fault: str, seconds: float | None) -> None:
        self.check().pause(seconds, self._go_on)
        self.still = fault, seconds

    def _go_on(self) -> None:
        fault, _ = self.still or ("", None)
        self.still = None
        self.spent(fault)

    def check(self) -> Server:
        """Returns the server. Raises NoSuchFault if none serves the card."""
        if self.server is None or self.server.closed:
            raise self.refuse("server: `vmcoredd emulate` and guests serve theirs")
        return self.server
