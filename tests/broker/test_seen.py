"""When a contact point was last heard from: by whichever worker, whatever became of that one."""

import os
import subprocess
import sys

from valija_broker import seen


def ended():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_newest_time_of_all_workers_counts(tmp_path):
    one = seen.Seen(tmp_path / "seen")
    one.note("mx.enlace", 5)
    one.note("ca.liaison", 9)
    one.close()
    (tmp_path / "seen" / f"worker-{ended()}").write_bytes(b'{"mx.enlace":7,"pe.enlace":1}')
    assert seen.read(tmp_path / "seen") == {"mx.enlace": 7, "ca.liaison": 9, "pe.enlace": 1}


def test_times_outlive_workers_and_their_files_do_not_pile_up(tmp_path):
    for at in range(1, 4):
        (tmp_path / f"worker-{ended()}").write_bytes(b'{"mx.enlace":%d}' % at)
        seen.fold(tmp_path)
    (tmp_path / f"worker-{os.getpid()}").write_bytes(b'{"ca.liaison":2}')
    seen.fold(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["earlier", f"worker-{os.getpid()}"]
    assert seen.read(tmp_path) == {"mx.enlace": 3, "ca.liaison": 2}


def test_a_worker_goes_on_with_what_an_earlier_one_of_its_number_left(tmp_path):
    (tmp_path / f"worker-{os.getpid()}").write_bytes(b'{"ca.liaison":2}')
    worker = seen.Seen(tmp_path)
    worker.note("mx.enlace", 5)
    worker.close()
    assert seen.read(tmp_path) == {"mx.enlace": 5, "ca.liaison": 2}


def test_a_file_that_is_none_hides_no_other(tmp_path):
    (tmp_path / "worker-1").write_bytes(b'{"mx.enlace":5}')
    (tmp_path / "worker-2").write_bytes(b'{"mx.en')
    (tmp_path / "worker-3").mkdir()
    assert seen.read(tmp_path) == {"mx.enlace": 5}
    assert seen.read(tmp_path / "not there") == {}
