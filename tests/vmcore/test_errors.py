"""The tree of errors, and their messages."""

from __future__ import annotations

import errno

import pytest

from vmcoredd.vmcore import errors


def test_sizes_are_shown_in_bytes_and_text_unchanged():
    assert str(errors.VmcoreFormatError("note 3", 44, 12)) == "note 3: need 44 bytes, have 12 bytes"
    assert (
        str(errors.VmcoreFormatError("file", "an ELF file", "junk"))
        == "file: need an ELF file, have junk"
    )


def test_a_refusal_is_an_oserror_with_the_kernels_errno_and_the_reason():
    refusal = errors.DumpRefused(errno.EINVAL, "no name")
    assert isinstance(refusal, OSError)
    assert refusal.errno == errno.EINVAL
    assert str(refusal) == "[Errno 22] Invalid argument: no name"


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.OutputExists(errno.EEXIST, "File exists", "out"), FileExistsError),
        (errors.NoSuchNote(5, 2), IndexError),
        (errors.CallbackFailed("card", -5), errors.VmcoreError),
        (errors.OutputUnsuitable("out: not a regular file"), errors.VmcoreError),
    ],
)
def test_every_error_is_a_vmcoreerror_and_the_matching_builtin(error, builtin):
    assert isinstance(error, errors.VmcoreError)
    assert isinstance(error, builtin)


def test_a_failed_callback_names_its_dump_and_what_it_returned():
    words = str(errors.CallbackFailed("card", -5))
    assert words == "card: the dump callback returned -5"
