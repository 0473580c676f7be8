"""Files that somebody named: whole, or what was there stays."""

import errno
import os

import pytest

from esacl import durable
from esacl.durable import unwritten, write_out
from esacl.errors import InputError


def test_what_was_there_stays_where_there_is_no_room(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    write_out(path, b"good")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", full)
    with pytest.raises(InputError, match=r"No space left on device.*make room"):
        write_out(path, b"new")
    assert path.read_bytes() == b"good"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_followed_and_a_folder_refused(tmp_path):
    (tmp_path / "to").write_text("old")
    (tmp_path / "link").symlink_to("to")
    write_out(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "to").read_bytes() == b"new"
    for path in (tmp_path, tmp_path / "none" / "table.csv"):
        with pytest.raises(InputError, match=f"^{path} cannot be written .*name another file$"):
            write_out(path, b"")


def test_a_pipe_gets_it_as_it_is(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_out(tmp_path / "pipe", b"through")
    assert os.read(reader, 99) == b"through"
    os.close(reader)


def test_the_remedy_fits_the_cause(tmp_path):
    assert "make room" in str(unwritten(tmp_path, OSError(errno.EDQUOT, "Disk quota exceeded")))
    assert "make room" not in str(unwritten(tmp_path, OSError(errno.EACCES, "Permission denied")))
