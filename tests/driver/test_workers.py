"""Worker processes: what they send, and what is left of one that dies."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import threading

import pytest

from pyvfio_user import errors as vfio_user
from vmcoredd.driver import workers
from vmcoredd.driver.errors import DriverError, MailboxError, ProbeError, WorkerDied
from vmcoredd.driver.workers import Crew, Message, Send
from vmcoredd.hw.errors import AdapterGone, DeadDevice
from vmcoredd.vmcore.errors import CallbackFailed, DumpRefused, OutputExists


def square(job: int, send: Send) -> None:
    send(("begins", job))
    send(job * job, last=True)


def last(messages: list[Message]) -> dict[int, object]:
    return {message.job: message.content for message in messages if message.last}


def pids(crew: Crew) -> list[int]:
    return [worker._pid for worker in crew._workers]


def is_there(pid: int) -> bool:
    """Whether there is a process, dead or alive, that nobody has waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_share_the_jobs_and_send_each_result_once() -> None:
    with Crew(range(5), 2, square) as crew:
        messages = list(crew.messages())
    assert crew.left == []
    assert last(messages) == {job: job * job for job in range(5)}
    assert sum(message.last for message in messages) == 5
    assert {message.content for message in messages if not message.last} == {
        ("begins", job) for job in range(5)
    }


def test_without_workers_all_jobs_are_left() -> None:
    with Crew(range(3), 0, square) as crew:
        assert list(crew.messages()) == []
        assert crew.left == [0, 1, 2]


def test_jobs_are_left_where_no_process_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", refused)
    with Crew(range(3), 2, square) as crew:
        assert sorted(crew.left) == [0, 1, 2]
        assert list(crew.messages()) == []


def test_one_job_and_a_process_with_threads_need_no_workers() -> None:
    assert workers.useful(0) == workers.useful(1) == 0
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    assert workers.useful(16) == 0
    end.set()
    thread.join()


def test_a_worker_that_is_killed_costs_its_own_jobs_alone() -> None:
    def work(job: int, send: Send) -> None:
        if job == 2:  # of worker 0, as job 0 and job 4 are
            os.kill(os.getpid(), signal.SIGKILL)
        if job % 2:
            square(job, send)
        else:
            signal.sigwait([signal.SIGUSR1])

    with Crew(range(5), 2, work) as crew:
        found = last(list(crew.messages()))
    assert {job: found[job] for job in (1, 3)} == {1: 1, 3: 9}
    for job in (0, 2, 4):
        assert isinstance(found[job], WorkerDied)
        assert str(found[job]) == "the process that dumped it was killed by SIGKILL"


def test_what_a_worker_had_sent_before_it_was_killed_counts() -> None:
    def work(job: int, send: Send) -> None:
        square(job, send)
        os.kill(os.getpid(), signal.SIGKILL)

    with Crew([3], 1, work) as crew:
        assert last(list(crew.messages())) == {3: 9}


def test_a_bug_in_a_worker_is_an_end_too(capfd: pytest.CaptureFixture[str]) -> None:
    def work(job: int, send: Send) -> None:
        raise IndexError("no such row")

    with Crew([0], 1, work) as crew:
        (message,) = crew.messages()
    assert str(message.content) == "the process that dumped it ended with 1"


def test_no_worker_is_left_when_the_context_ends_early() -> None:
    def work(job: int, send: Send) -> None:
        signal.sigwait([signal.SIGUSR1])

    with Crew(range(2), 2, work) as crew:
        found = pids(crew)
        assert all(map(is_there, found))
    assert not any(map(is_there, found))


def test_a_descriptor_arrives_with_its_message() -> None:
    def work(job: int, send: Send) -> None:
        fd = os.memfd_create("job")
        os.write(fd, b"%d" % job)
        send("done", last=True, fd=fd)

    with Crew(range(4), 2, work) as crew:
        for message in crew.messages():
            assert os.pread(message.fd, 10, 0) == b"%d" % message.job
            os.close(message.fd)


def test_a_large_message_arrives_whole() -> None:
    def work(job: int, send: Send) -> None:
        send(bytes([job]) * 5_000_000)
        send(b"end", last=True)

    with Crew(range(4), 2, work) as crew:
        large = [message for message in crew.messages() if not message.last]
    assert {message.job: message.content for message in large} == {
        job: bytes([job]) * 5_000_000 for job in range(4)
    }


def noted(error: Exception) -> Exception:
    error.add_note("/a/file")
    return error


@pytest.mark.parametrize(
    "error",
    [
        ProbeError("step", "why"),
        MailboxError("op", 5, " of a test"),
        DeadDevice(-errno.EIO, "read", rows=3, used=12),
        AdapterGone(-errno.EIO, "read"),
        DumpRefused(errno.ENOMEM, "no buffer"),
        CallbackFailed("dump", -3),
        noted(OutputExists(errno.EEXIST, "exists", "/a")),
        FileNotFoundError(errno.ENOENT, "No such file", "/a"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        ModuleNotFoundError("No module named 'a'", name="a"),
        vfio_user.ConnectError("/sock", "refused", errno.ECONNREFUSED),
        vfio_user.Timeout("read", 5.0),
        vfio_user.Refused("read", errno.EINVAL),
        DriverError("text"),
        KeyError("key"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_arrives_as_it_was(error: Exception) -> None:
    arrived = pickle.loads(workers._pickled(error))
    assert type(arrived) is type(error)
    assert (str(arrived), arrived.args, vars(arrived)) == (str(error), error.args, vars(error))
    for name in ("errno", "strerror", "filename", "name"):
        assert getattr(arrived, name, None) == getattr(error, name, None)
