"""Files that a reader takes along: numbers as CSV and NPZ, figures as one HTML file. Made when somebody clicks."""

import csv
import html
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from app import figure_script, plots
from app.drawing import Drawing
from app.figures.landscape import Figure, themed
from app.language import kept, language, text

_INK, _GROUND = "#22262b", "#fdfcfa"
_PAGE = """<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }}
{style}</style></head><body><h1>{title}</h1><p>{about}</p>
{body}
</body></html>
"""
_THEME = """:root { color-scheme: light dark; color: light-dark(#22262b, #e6e4df);
  background: light-dark(#fdfcfa, #15181c);
--st-text-color: light-dark(#22262b, #e6e4df); --st-background-color: light-dark(#fdfcfa, #15181c);
--st-font: system-ui, sans-serif; --st-heading-font: Georgia, serif; --st-primary-color: light-dark(#1f6aa5, #62a8e0); }
"""
_TABLES = """
.wide { overflow-x: auto; } table { border-collapse: collapse; margin-bottom: 1.5rem; font-size: .9rem; }
th, td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid #8886; white-space: nowrap; }
"""
_DRAWN = _THEME + figure_script.STYLE


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
    return _page(title, about, _DRAWN, _drawn(parts))


def comparison(
    title: str,
    about: str,
    sections: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]], Sequence[Mapping[str, Any]]]],
) -> bytes:
    """Sections of a heading, a table (columns, rows of text) and drawings, in one HTML file that needs nothing else."""
    body = []
    for heading, columns, rows, parts in sections:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
        lines = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
        table = "\n".join(f"<tr>{line}</tr>" for line in (head, *lines))
        table = f"<div class=wide><table>\n{table}\n</table></div>" if columns else ""
        body.append(f"<h2>{html.escape(heading)}</h2>\n{table}{_drawn(parts)}")
    return _page(title, about, _DRAWN + _TABLES, "\n".join(body))


def _drawn(parts: Sequence[Mapping[str, Any]]) -> str:
    return f"""<section></section><script type="module">
const here = [...document.querySelectorAll("section:not([data-drawn])")][0];
here.dataset.drawn = "1";
{figure_script.PLAIN}
for (const data of {_json(list(parts))}) {{
  const box = document.createElement("div");
  box.innerHTML = '<div class="drawings"></div>';
  here.append(box);
  draw({{ parentElement: box, data, setStateValue() {{}} }});
}}
</script>"""


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
    return _page(title, about, f"body {{ color: {_INK}; background: {_GROUND}; }}", body)


def _page(title: str, about: str, style: str, body: str) -> bytes:
    about, title = html.escape(about), html.escape(title)
    return _PAGE.format(language=language(), title=title, about=about, style=style, body=body).encode()


def _json(value: Any) -> str:
    """JSON that cannot end the script it stands in."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")
