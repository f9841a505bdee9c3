"""The canary's file: what another account wrote is read, or is none; it never stops the broker."""

import os

import pytest

from valija_broker import canary


def test_what_the_canary_wrote_is_read(tmp_path):
    path = tmp_path / "canary.json"
    path.write_text('{"sent": 1000, "returned": 1250, "round_trip": 249}')
    assert canary.read(path) == canary.Canary(sent=1000, returned=1250, round_trip=249)


@pytest.mark.parametrize(
    "bytes_",
    [b"", b"{}", b"\xff", b'{"sent": -1, "returned": 1, "round_trip": 1}', b" " * 10_000, b"[" * 4_000,
     b'{"sent": 1, "returned": 1, "round_trip": 1, "more": 1}', b'{"sent": 1e400, "returned": 1, "round_trip": 1}'],
)  # fmt: skip
def test_whatever_else_lies_there_is_none(tmp_path, bytes_):
    path = tmp_path / "canary.json"
    path.write_bytes(bytes_)
    assert canary.read(path) is None


def test_no_file_a_folder_and_a_pipe_that_nobody_writes_to_are_none(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert [canary.read(tmp_path / name) for name in ("pipe", "missing", "")] == [None] * 3
