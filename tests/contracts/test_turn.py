"""Test the turn of writers: one at a time among threads and processes (operations.md 6.6)."""

import multiprocessing
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

import pytest

from backends import BackendError, Busy
from backends.storage.turn import Turn

_ROUNDS = 200
_WORKERS = 4

multiprocess = multiprocessing.get_context("spawn")


def count_up(turn: Turn, counter: pathlib.Path) -> None:
    """Increment the number in a file, by reading and then writing it."""
    for _ in range(_ROUNDS):
        with turn(60):
            counter.write_text(str(int(counter.read_text()) + 1))


def count_up_in_a_process(folder: pathlib.Path) -> None:
    count_up(Turn(f"{folder}/lock"), folder / "counter")


def run_all(workers: Sequence[threading.Thread | multiprocessing.process.BaseProcess]) -> None:
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


@pytest.fixture
def counter(tmp_path: pathlib.Path) -> pathlib.Path:
    """Give the file of a counter that stands at 0."""
    file = tmp_path / "counter"
    file.write_text("0")
    return file


def test_threads_lose_no_increment_when_they_share_a_turn(tmp_path: pathlib.Path, counter: pathlib.Path) -> None:
    turn = Turn(f"{tmp_path}/lock")

    run_all([threading.Thread(target=count_up, args=(turn, counter)) for _ in range(_WORKERS)])

    assert counter.read_text() == str(_WORKERS * _ROUNDS)


def test_threads_lose_no_increment_when_each_has_a_turn_of_its_own(
    tmp_path: pathlib.Path, counter: pathlib.Path
) -> None:
    run_all([threading.Thread(target=count_up_in_a_process, args=(tmp_path,)) for _ in range(_WORKERS)])

    assert counter.read_text() == str(_WORKERS * _ROUNDS)


def test_processes_lose_no_increment_when_they_name_the_same_file(
    tmp_path: pathlib.Path, counter: pathlib.Path
) -> None:
    run_all([multiprocess.Process(target=count_up_in_a_process, args=(tmp_path,)) for _ in range(_WORKERS)])

    assert counter.read_text() == str(_WORKERS * _ROUNDS)


def forked(task: Callable[[], None]) -> int:
    """Run *task* in a forked child, which ends by the alarm clock if it takes too long; return its exit status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            task()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_child_waits_for_its_parent_when_the_parent_was_inside(
    tmp_path: pathlib.Path, counter: pathlib.Path
) -> None:
    turn = Turn(f"{tmp_path}/lock")
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with turn(60):
            inside.set()
            done.wait(10)
            counter.write_text("written by the parent")

    def read() -> None:
        with turn(60):
            counter.with_suffix(".seen").write_text(counter.read_text())

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(10)
    threading.Timer(0.2, done.set).start()

    status = forked(read)
    holder.join()

    assert status == 0
    assert counter.with_suffix(".seen").read_text() == "written by the parent"


def test_a_turn_can_be_taken_again_when_the_block_raised(tmp_path: pathlib.Path) -> None:
    turn = Turn(f"{tmp_path}/lock")
    with pytest.raises(KeyError), turn(60):
        raise KeyError

    with turn(60):
        pass


def test_a_turn_can_be_taken_again_when_it_was_closed(tmp_path: pathlib.Path) -> None:
    turn = Turn(f"{tmp_path}/lock")
    with turn(60):
        pass
    turn.close()

    with turn(60):
        pass


def test_a_turn_fails_as_a_backend_when_its_file_cannot_be_made(tmp_path: pathlib.Path) -> None:
    turn = Turn(f"{tmp_path}/no folder/lock")

    with pytest.raises(BackendError, match="FileNotFoundError"), turn(60):
        pass


def test_a_turn_does_not_follow_a_link(tmp_path: pathlib.Path) -> None:
    """In a folder of all users somebody else may have made it: a file would be made, or locked, where it points to."""
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(BackendError), Turn(f"{tmp_path}/lock")(60):
        pass

    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a pipe", "a folder"])
def test_a_turn_takes_an_ordinary_file_only(tmp_path: pathlib.Path, make: Callable[[str], None]) -> None:
    make(f"{tmp_path}/lock")

    with pytest.raises(BackendError), Turn(f"{tmp_path}/lock")(60):
        pass


def test_other_users_cannot_open_the_file_of_a_turn(tmp_path: pathlib.Path) -> None:
    """Whoever can open it can lock it, and let all writers wait."""
    with Turn(f"{tmp_path}/lock")(60):
        pass

    assert (tmp_path / "lock").stat().st_mode & 0o007 == 0


def test_a_turn_ends_when_its_file_cannot_be_unlocked(tmp_path: pathlib.Path) -> None:
    """What was written in it is committed, and the answer stands."""
    turn = Turn(f"{tmp_path}/lock")

    with turn(60):
        os.close(turn._file)

    with turn(60):
        pass


_HOLD = (
    "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
)


def test_a_writer_gives_up_when_another_process_has_the_turn_for_too_long(tmp_path: pathlib.Path) -> None:
    """One thread goes on waiting, however many writers give up, and the next writer goes on with it."""
    path, ours, theirs = tmp_path / "lock", Turn(f"{tmp_path}/lock"), Turn(f"{tmp_path}/lock")
    path.touch()
    command = [sys.executable, "-c", _HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        for _ in range(20):
            with pytest.raises(Busy), ours(0.01):
                pass
        waiting = [thread for thread in threading.enumerate() if thread.name == "turn"]
        writer = threading.Thread(target=write_in_turn, args=(ours, tmp_path / "count"))
        writer.start()
        holder.communicate()
    writer.join()
    for thread in waiting:
        thread.join()

    assert len(waiting) == 1
    assert (tmp_path / "count").read_text() == "written"
    for turn in (theirs, ours, theirs):
        with turn(60):
            pass


def write_in_turn(turn: Turn, file: pathlib.Path) -> None:
    with turn(60):
        file.write_text("written")


def test_a_turn_that_came_when_nobody_wanted_it_is_left_to_others(tmp_path: pathlib.Path) -> None:
    ours, theirs = Turn(f"{tmp_path}/lock"), Turn(f"{tmp_path}/lock")
    with theirs(60), pytest.raises(Busy), ours(0):
        pass
    for thread in threading.enumerate():
        if thread.name == "turn":
            thread.join()

    with theirs(0):
        pass
    with ours(0):
        pass


def test_a_thread_gives_up_when_another_has_the_turn_for_too_long(tmp_path: pathlib.Path) -> None:
    turn = Turn(f"{tmp_path}/lock")

    with turn(60), pytest.raises(Busy), turn(0.01):
        pass
    with turn(0):
        pass
