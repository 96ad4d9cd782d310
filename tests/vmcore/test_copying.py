"""Copying: every method of the kernel, holes, and truncated sources."""

from __future__ import annotations

import errno
import os

import pytest
from vmcore_files import refused_with

from vmcoredd.vmcore.copying import BLOCK, Copier, data_runs
from vmcoredd.vmcore.errors import VmcoreFormatError

MIB = 1 << 20


@pytest.fixture
def files(tmp_path):
    """A source with holes (1 MiB of data in each 4) and an output of its size, as descriptors."""
    source = os.open(tmp_path / "source", os.O_RDWR | os.O_CREAT)
    out = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT)
    for at in range(0, 16 * MIB, 4 * MIB):
        os.pwrite(source, os.urandom(MIB), at)
    for fd in (source, out):
        os.truncate(fd, 16 * MIB)
    yield source, out
    os.close(source)
    os.close(out)


def refuse(number):
    def call(*arguments):
        raise OSError(number, os.strerror(number))

    return call


WAYS = {
    "copy_file_range": {},
    "sendfile": {"copy_file_range": refuse(errno.EXDEV)},
    "read and write": {
        "copy_file_range": refuse(errno.EOPNOTSUPP),
        "sendfile": refuse(errno.EINVAL),
    },
    "read and write after an empty answer": {
        "copy_file_range": lambda *arguments: 0,
        "sendfile": lambda *arguments: 0,
    },
}


@pytest.fixture(params=list(WAYS))
def way(request, monkeypatch):
    for name, call in WAYS[request.param].items():
        monkeypatch.setattr(os, name, call)


@pytest.mark.parametrize("place", [1017, 1000], ids=["same place in a page", "askew"])
def test_bytes_are_copied_to_their_offset(files, way, place):
    source, out = files
    told = []
    Copier(out, told.append).copy(source, 3 * MIB + 1017, 6 * MIB, place)
    assert os.pread(out, 6 * MIB, place) == os.pread(source, 6 * MIB, 3 * MIB + 1017)
    assert os.pread(out, place, 0) == bytes(place)
    assert told == sorted(told)
    assert told[-1] <= place + 6 * MIB


def test_holes_stay_holes(files, way):
    source, out = files
    assert os.fstat(source).st_blocks * 512 <= 5 * MIB
    Copier(out, lambda at: None).copy(source, 0, 16 * MIB, 0)
    assert os.pread(out, 16 * MIB, 0) == os.pread(source, 16 * MIB, 0)
    assert os.fstat(out).st_blocks * 512 <= 5 * MIB


def test_a_truncated_source_is_a_format_error(files, way):
    source, out = files
    os.truncate(source, 10 * MIB)
    with pytest.raises(VmcoreFormatError, match="need 16777216 bytes, have 10485760 bytes"):
        Copier(out, lambda at: None).copy(source, 0, 16 * MIB, 0)


@pytest.mark.parametrize("name", ["copy_file_range", "sendfile"])
def test_an_error_that_is_not_a_refusal_is_raised(files, name, monkeypatch):
    source, out = files
    monkeypatch.setattr(os, "copy_file_range", refuse(errno.EXDEV))
    monkeypatch.setattr(os, name, refuse(errno.ENOSPC))
    with refused_with(errno.ENOSPC):
        Copier(out, lambda at: None).copy(source, 0, MIB, 0)


def test_any_error_of_the_last_method_is_raised(files, monkeypatch):
    source, out = files
    for name in ("copy_file_range", "sendfile", "preadv"):
        monkeypatch.setattr(os, name, refuse(errno.EINVAL))
    with refused_with(errno.EINVAL):
        Copier(out, lambda at: None).copy(source, 0, MIB, 0)


def test_a_refusal_in_the_middle_continues_with_the_next_method(files, monkeypatch):
    source, out = files
    real, calls = os.copy_file_range, []

    told = []

    def once(*arguments):
        calls.append(arguments)
        if len(calls) > 1:
            raise OSError(errno.EXDEV, "no more")
        return real(arguments[0], arguments[1], 1000, *arguments[3:])

    monkeypatch.setattr(os, "copy_file_range", once)
    Copier(out, told.append).copy(source, 0, MIB, 0)
    assert told == sorted(told)
    assert os.pread(out, MIB, 0) == os.pread(source, MIB, 0)


def test_the_data_do_not_pass_through_the_process(files, monkeypatch):
    source, out = files
    for name in ("pread", "preadv", "read"):
        monkeypatch.setattr(os, name, refuse(errno.EIO))
    Copier(out, lambda at: None).copy(source, 0, 16 * MIB, 0)


@pytest.mark.parametrize("place", [0, 8192, 3 * BLOCK + 4096])
def test_all_pieces_but_the_first_begin_at_a_block_of_the_output(files, place, monkeypatch):
    source, out = files
    real, starts = os.copy_file_range, []

    def noted(fd, to, size, offset, at):
        starts.append(at)
        return real(fd, to, min(size, 4 * BLOCK), offset, at)

    monkeypatch.setattr(os, "copy_file_range", noted)
    Copier(out, lambda at: None).copy(source, 4096, MIB - 4096, place)
    assert starts[0] == place
    assert len(starts) > 1
    assert not any(at % BLOCK for at in starts[1:])


def test_runs_of_data_are_distinguished_from_holes(files):
    runs = list(data_runs(files[0], 512, 16 * MIB))
    assert runs == [(512, MIB), *((at, at + MIB) for at in range(4 * MIB, 16 * MIB, 4 * MIB))]
    assert list(data_runs(files[0], 2 * MIB, 3 * MIB)) == []
    assert list(data_runs(files[0], 4 * MIB + 5, 4 * MIB + 9)) == [(4 * MIB + 5, 4 * MIB + 9)]


def test_without_reported_holes_the_whole_file_is_data(files, monkeypatch):
    monkeypatch.setattr(os, "lseek", refuse(errno.EINVAL))
    assert list(data_runs(files[0], 5, 16 * MIB)) == [(5, 16 * MIB)]


def test_short_reads_and_writes_are_continued(files, monkeypatch):
    source, out = files
    for name in ("copy_file_range", "sendfile"):
        monkeypatch.setattr(os, name, refuse(errno.EXDEV))
    read, write = os.preadv, os.pwrite
    monkeypatch.setattr(os, "preadv", lambda fd, into, at: read(fd, [into[0][:700]], at))
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: write(fd, data[:500], at))
    Copier(out, lambda at: None).copy(source, 1, 100_000, 0)
    assert os.pread(out, 100_000, 0) == os.pread(source, 100_000, 1)
