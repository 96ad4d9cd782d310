"""Why a real adapter is not dumped; each error says what to do."""

from __future__ import annotations

from vmcoredd.driver.errors import DriverError


class RealAdapterError(DriverError):
    """A function of this machine, why it is not dumped, and a remedy; all have one."""

    def __init__(self, address: str, why: str, remedy: str) -> None:
        self.address, self.why, self.remedy = address, why, remedy
        super().__init__(f"{why}\nto do: {remedy}")


class NoSuchFunction(RealAdapterError):
    """No such function, or none of Chelsio's."""


class Refused(RealAdapterError):
    """The function is there, but must not or cannot be dumped this way."""
