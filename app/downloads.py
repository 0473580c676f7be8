"""Files that a reader takes along: numbers as CSV and NPZ, figures as one HTML file. Made when somebody clicks."""

import csv
import html
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from app import plots
from app.document import Document
from app.drawing import Drawing
from app.figures.landscape import Figure, themed
from app.language import kept, language, text
from esacl import printing

_INK, _GROUND = "#22262b", "#fdfcfa"
_PAGE = """<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; color: {ink};
  background: {ground}; }}
</style></head><body><h1>{title}</h1><p>{about}</p>
{body}
</body></html>
"""


def row(name: str, files: Mapping[str, Callable[[], bytes]], *, key: str) -> None:
    """Buttons, one a file: `{"csv": make}` becomes NAME.csv; nothing is made before a click."""
    with st.container(horizontal=True, gap="small", key=f"{key}-files"):
        for kind, make in files.items():
            st.download_button(
                text("Download %(kind)s", kind=kind.upper()),
                kept(make),
                f"{name}.{kind}",
                key=f"{key}-{kind}",
                on_click="ignore",
            )


def npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The arrays as `numpy.load` reads them."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: np.asarray(values) for name, values in arrays.items()})  # type: ignore[arg-type]
    return buffer.getvalue()


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """A table as spreadsheets read it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(["" if isinstance(v, float) and not np.isfinite(v) else v for v in one] for one in rows)
    return buffer.getvalue().encode()


def drawings(title: str, about: str, parts: Sequence[Mapping[str, Any]]) -> bytes:
    """Drawings in one HTML file that needs nothing else; what is stepped through on the page is so there too."""
    return comparison(title, about, [("", (), (), parts)])


def comparison(
    title: str,
    about: str,
    sections: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]], Sequence[Mapping[str, Any]]]],
) -> bytes:
    """Sections of a heading, a table (columns, rows of text) and drawings, in one HTML file that needs nothing else."""
    made = Document(title, language())
    made.paragraph(about)
    for heading, columns, rows, parts in sections:
        if heading:
            made.heading(heading)
        if columns:
            made.table(columns, rows, numbers=[name for name in columns if name not in (*printing.WORDS, "base")])
        for one in parts:
            made.figures(one)
    return made.html()


def part(*shown: Drawing | None, scrub: Mapping[str, Any] | None = None, even: bool = False) -> dict[str, Any]:
    """What one drawing component shows, for `drawings`."""
    found: dict[str, Any] = {"drawings": [drawing for drawing in shown if drawing is not None], "even": even}
    return found if scrub is None else {**found, "scrub": dict(scrub)}


def figures(title: str, about: str, shown: Sequence[tuple[str, Figure]]) -> bytes:
    """Plotly figures, each under its name, in one HTML file that holds plotly.js."""
    path = plots.library_file()
    library = path.read_text(encoding="utf-8").replace("</script", "<\\/script") if path else ""
    light = [(name, themed(figure, _INK, "system-ui, sans-serif")) for name, figure in shown]
    body = f"""<div id="panels"></div>
<script>{library}</script>
<script>
for (const [name, figure] of {_json(light)}) {{
  const title = document.createElement("h2"), plot = document.createElement("div");
  title.textContent = name;
  document.getElementById("panels").append(title, plot);
  Plotly.newPlot(plot, figure.data, {{...figure.layout, height: 620}}, {{responsive: true, displaylogo: false}});
}}
</script>"""
    about, title = html.escape(about), html.escape(title)
    return _PAGE.format(language=language(), title=title, about=about, ink=_INK, ground=_GROUND, body=body).encode()


def _json(value: Any) -> str:
    """JSON that cannot end the script it stands in."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")
