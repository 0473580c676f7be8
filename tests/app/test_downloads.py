"""Files to take along: they hold what was shown, and need nothing else."""

import csv
import io
import json
import re

import numpy as np
from synthetic_spectra import plane_arrays

from app import downloads, plots
from app.drawing import Panel
from app.figures import landscape, planes
from app.scale import Scale


def test_a_table_is_read_back():
    text = downloads.table(("a", "b"), [(1, 0.1), ("x,y", float("nan"))]).decode()
    assert list(csv.reader(io.StringIO(text))) == [["a", "b"], ["1", "0.1"], ["x,y", ""]]


def test_arrays_are_read_back():
    kept = {"run/dense/loss": np.eye(2), "run/dense/x_name": np.array("eigen1")}
    found = np.load(io.BytesIO(downloads.npz(kept)))
    assert set(found) == set(kept)
    assert np.array_equal(found["run/dense/loss"], np.eye(2))


def test_drawings_make_a_page_that_needs_nothing_and_runs_no_text():
    panel = Panel(Scale(0, 1), Scale(0, 1), "x", "y", "</script><script>alert(1)</script>")
    page = downloads.drawings("<b>name</b>", "about", [downloads.part(panel.drawing(), None)]).decode()
    assert "<title>&lt;b&gt;name&lt;/b&gt;</title>" in page
    assert "alert(1)</script>" not in page
    assert page.count("</script>") == 2  # what is drawn, and what draws it
    assert not re.search(r"(src|href)=\"?http|@import|export default", page)
    assert "default-src 'none'" in page  # as every file of drawings has it


def test_numbers_stand_at_the_right_and_words_at_the_left():
    columns, cells = ["method", "base", "ACC, %"], [["SparCL", "er", "98.1 ± 0.2"], ["<i>", "", "–"]]
    page = downloads.comparison("t", "about", [("first", columns, cells, []), ("second", [], [], [])]).decode()
    assert re.findall(r"<td class=number>(.*?)</td>", page) == ["98.1 ± 0.2", "–"]
    assert re.findall(r"<td>(.*?)</td>", page) == ["SparCL", "er", "&lt;i&gt;", ""]
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["first", "second"]
    assert page.count("<table>") == 1


def test_figures_make_a_page_with_the_library_in_it():
    x = np.linspace(-1, 1, 5)
    plane = planes.plane_of(plane_arrays(x, x, 1 + x[None] ** 2 + x[:, None] ** 2), ("dense", "eigen1", "random1"))
    page = downloads.figures("t", "a", [("</script>", landscape.surface(plane, (1.0, 3.0)))]).decode()
    assert "Plotly.newPlot" in page
    assert len(page) > 1_000_000
    body = re.search(r"for \(const \[name, figure\] of (.*)\) \{", page)[1]
    assert json.loads(body)[0][0] == "</script>"
    assert "@ink" not in body


def test_plotly_is_written_once_whole_and_alone(tmp_path, monkeypatch):
    (tmp_path / "plotly-1.0.min.js").write_text("old")
    written = []
    keep = plots.replace_file
    monkeypatch.setattr(plots, "replace_file", lambda path, data: (written.append(path), keep(path, data)))
    monkeypatch.setattr(plots.st, "get_option", lambda name: {"server.enableStaticServing": True}.get(name, ""))
    address = plots.library_address(tmp_path)
    assert plots.library_address(tmp_path) == address
    assert len(written) == 1
    assert [path.name for path in tmp_path.iterdir()] == [address.removeprefix("/app/static/")]
    assert written[0].read_bytes() == plots.library_file().read_bytes()
    monkeypatch.setattr(plots.st, "get_option", lambda name: "/lab/" if "base" in name else True)
    assert plots.library_address(tmp_path) == f"/lab{address}"


def test_where_nothing_can_be_written_or_served_there_is_no_address(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(plots.st, "get_option", lambda name: True)
    assert plots.library_address(tmp_path / "file" / "static") is None
    monkeypatch.setattr(plots.st, "get_option", lambda name: False)
    assert plots.library_address(tmp_path) is None
