"""Files that somebody named: whole, or what was there stays."""

import errno
import os
from pathlib import Path

import pytest

from esacl import durable
from esacl.durable import append_regular, named_file, unwritten, write_out
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


def test_a_file_to_be_put_in_place_is_refused_before_the_work(tmp_path):
    (tmp_path / "old").write_text("old")
    (tmp_path / "nowhere").symlink_to("none")
    os.mkfifo(tmp_path / "pipe")
    for name in ("old", "new", "nowhere"):
        named_file(tmp_path / name)
    for path, told in [
        (tmp_path, "is a folder; say another"),
        (Path(), "is a folder; say another"),
        (tmp_path / "pipe", "is no file; name another"),
        (Path(os.devnull), "is no file; name another"),
        (tmp_path / "none" / "new", r"cannot be written \(No such file or directory\); name another file"),
        (tmp_path / "old" / "new", r"cannot be written \(Not a directory\); name another file"),
        # There is such a folder, but no file can be made in it, even by who may do everything.
        (Path("/proc/new"), r"cannot be written \(No such file or directory\); name another file"),
        (tmp_path / ("n" * 999), r"cannot be written \(File name too long\); name another file"),
    ]:
        with pytest.raises(InputError, match=f"^{path} {told}$"):
            named_file(path, "say another")
    assert (tmp_path / "old").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nowhere", "old", "pipe"]


def test_the_remedy_fits_the_cause(tmp_path):
    assert "make room" in str(unwritten(tmp_path, OSError(errno.EDQUOT, "Disk quota exceeded")))
    assert "make room" not in str(unwritten(tmp_path, OSError(errno.EACCES, "Permission denied")))


def test_a_log_is_added_to_and_never_through_a_link_or_into_a_pipe(tmp_path):
    for words in (b"one\n", b"two\n"):
        with append_regular(tmp_path / "log") as log:
            log.write(words)
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"
    (tmp_path / "link").symlink_to("log")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(OSError):
            append_regular(tmp_path / name)
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"
