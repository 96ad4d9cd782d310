"""Hooks: registers whose behaviour is in Python. A hook that fails always fails the access."""

from __future__ import annotations

import errno
import logging

import pytest
from emucore import R, core, read, refused, word, write

from vmcoredd.chip import UnknownRegister
from vmcoredd.emu.access_log import LogKind
from vmcoredd.emu.errors import AccessError, ModelError
from vmcoredd.emu.silicon import Model, fault, faults, models, reads, writes

REGISTER, ARRAY = R.MPS_TRC_CFG, R.MPS_TRC_FILTER0_MATCH


def test_a_read_hook_determines_the_value_read() -> None:
    machine = core()
    machine.spaces.set(REGISTER, 40)
    machine.hook(REGISTER, read=lambda element, stored: stored + 2)
    assert word(machine, REGISTER) == 42


def test_a_word_with_only_a_read_hook_is_read_only() -> None:
    machine = core()
    machine.hook(REGISTER, read=lambda element, stored: stored)
    assert refused(machine, REGISTER, 1) == errno.EPERM
    assert machine.access_log.totals == {LogKind.GUEST_READ_ONLY: 1}


def test_a_write_hook_determines_the_stored_value() -> None:
    machine = core()
    machine.hook(REGISTER, write=lambda element, value: value & 0xF0)
    write(machine, REGISTER, 0xFF)
    assert word(machine, REGISTER) == 0xF0


def test_a_write_hook_that_returns_none_stores_the_written_value() -> None:
    machine = core()
    machine.hook(REGISTER, write=lambda element, value: None)
    write(machine, REGISTER, 0xFF)
    assert word(machine, REGISTER) == 0xFF


def test_a_hook_of_an_array_gets_the_element() -> None:
    machine, seen = core(), []
    machine.hook(ARRAY, read=lambda element, stored: element)
    machine.hook(R.MPS_TRC_FILTER0_DONT_CARE, write=lambda element, value: seen.append(element))
    assert word(machine, ARRAY[3]) == 3
    write(machine, R.MPS_TRC_FILTER0_DONT_CARE[2], 9)
    assert seen == [2]


def test_an_exception_in_a_read_hook_fails_the_access(caplog: pytest.LogCaptureFixture) -> None:
    machine = core()

    def broken(element: int, stored: int) -> int:
        raise KeyError("no such row")

    machine.hook(REGISTER, read=broken)
    with caplog.at_level(logging.ERROR), pytest.raises(AccessError) as caught:
        read(machine, REGISTER)
    assert caught.value.errno == errno.EIO
    assert isinstance(caught.value.__cause__, KeyError)
    assert "MPS_TRC_CFG: KeyError failed: 'no such row'" in caplog.text


def test_an_exception_in_a_write_hook_fails_the_access() -> None:
    machine = core()

    def broken(element: int, value: int) -> int:
        raise ValueError

    machine.hook(REGISTER, write=broken)
    assert refused(machine, REGISTER, 1) == errno.EIO


@pytest.mark.parametrize("value", [-1, 1 << 32, None, "7"])
def test_a_hook_that_does_not_return_a_word_fails_the_access(value: object) -> None:
    machine = core()
    machine.hook(REGISTER, read=lambda element, stored: value)  # type: ignore[arg-type,return-value]
    assert refused(machine, REGISTER) == errno.EIO


def test_a_run_fails_if_a_hook_in_it_fails() -> None:
    machine = core()

    def broken(element: int, stored: int) -> int:
        raise ValueError

    machine.hook(ARRAY, read=broken)
    assert refused(machine, int(ARRAY) - 8, length=16) == errno.EIO


def test_a_word_cannot_have_two_behaviours() -> None:
    machine = core()
    machine.hook(REGISTER, read=lambda element, stored: stored)
    with pytest.raises(ModelError, match="MPS_TRC_CFG already has a behaviour"):
        machine.hook(REGISTER, read=lambda element, stored: stored)


@pytest.mark.parametrize("decorator", [reads, writes])
def test_a_misspelt_register_fails_when_the_class_is_defined(decorator: object) -> None:
    with pytest.raises(UnknownRegister, match=r"did you mean .*SGE_CONTROL"):

        class Misspelt(Model):
            @decorator("SGE_CONTROLL")  # type: ignore[operator,untyped-decorator]
            def hook(self, element: int, value: int) -> int:
                return value


def test_a_register_that_only_one_chip_has_can_be_hooked() -> None:
    class Both(Model):
        @writes("SGE_DBFIFO_STATUS2", "LE_DB_CLCAM_TID_BASE")
        def hook(self, element: int, value: int) -> int:
            return value

    assert [name for name, _ in Both._bindings()] == ["hook"]


def test_a_model_declares_its_faults() -> None:
    class Breakable(Model):
        @fault("broken", "Nothing works.")
        def break_it(self) -> None: ...

    assert Breakable.faults()["broken"].meaning == "Nothing works."
    assert Breakable.faults()["broken"].method == "break_it"


def test_a_method_can_be_the_switch_of_several_faults() -> None:
    class Breakable(Model):
        @fault("broken-{}", "Part {} of {upper} fails.", each=("a", "b"), reports=True)
        def break_it(self, part: str) -> None: ...

    assert [item.name for item in Breakable.faults().values()] == ["broken-a", "broken-b"]
    item = Breakable.faults()["broken-b"]
    assert (item.meaning, item.arguments, item.reports) == ("Part b of B fails.", ("b",), True)


def test_fault_names_are_unique_and_have_a_meaning() -> None:
    names = [name for kind in models() for name in kind.faults()]
    assert len(names) == len(set(names)) == len(faults())
    assert all(
        item.meaning.endswith(".") and "\n" not in item.meaning for item in faults().values()
    )
