"""The file of event lines: a line is counted once, whatever interrupts its writing."""

import os

import pytest

from esacl.checkpoints import Place
from esacl.event_file import Lines
from esacl.event_lines import from_line
from esacl.events import Cancelled, Loading


def test_what_was_written_when_an_interrupt_came_is_not_there_twice(tmp_path, monkeypatch):
    path = tmp_path / "events.jsonl"
    lines = Lines(path, Place(0, 0))
    lines.append(Loading(what="torch"))
    write = os.write

    def interrupted(descriptor, data):
        write(descriptor, data)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lines.append(Cancelled())
    lines.append(Cancelled())
    lines.close()
    assert [from_line(line) for line in path.read_bytes().splitlines()] == [Loading(what="torch"), Cancelled()]
    assert lines.place == Place(path.stat().st_size, 2)
