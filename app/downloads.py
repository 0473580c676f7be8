"""Files that a reader takes along: numbers as CSV and NPZ, figures as one HTML file. Made when somebody clicks."""

import csv
import html
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app import plots
from app.drawing import Drawing
from app.figures.landscape import Figure, themed

_FOLDER = Path(__file__).parent / "component"
_INK, _GROUND = "#22262b", "#fdfcfa"
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
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


def row(name: str, files: Mapping[str, Callable[[], bytes]], *, key: str) -> None:
    """Buttons, one a file: `{"csv": make}` becomes NAME.csv; nothing is made before a click."""
    with st.container(horizontal=True, gap="small", key=f"{key}-files"):
        for kind, make in files.items():
            st.download_button(
                f"Download {kind.upper()}", make, f"{name}.{kind}", key=f"{key}-{kind}", on_click="ignore"
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
    script = (_FOLDER / "drawing.js").read_text(encoding="utf-8").replace("export default function", "function draw")
    style = _THEME + (_FOLDER / "drawing.css").read_text(encoding="utf-8")
    body = f"""<script type="module">
{script}
for (const data of {_json(list(parts))}) {{
  const box = document.createElement("section");
  box.innerHTML = '<div class="drawings"></div>';
  document.body.append(box);
  draw({{ parentElement: box, data, setStateValue() {{}} }});
}}
</script>"""
    return _page(title, about, style, body)


def part(*shown: Drawing | None, scrub: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What one drawing component shows, for `drawings`."""
    found: dict[str, Any] = {"drawings": [drawing for drawing in shown if drawing is not None]}
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
    return _PAGE.format(title=html.escape(title), about=html.escape(about), style=style, body=body).encode()


def _json(value: Any) -> str:
    """JSON that cannot end the script it stands in."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")
