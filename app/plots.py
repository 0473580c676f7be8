"""Plotly figures that keep their camera: `Plotly.react` in a component, where `st.plotly_chart` would mount anew.

plotly.js comes from the installed plotly package: it is written once into `app/static/`, which Streamlit serves.
Where that cannot be, the same figures are shown by `st.plotly_chart`.
"""

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from app import widgets
from app.figures.landscape import Figure, themed
from app.language import text
from esacl.durable import replace_file

STATIC = Path(__file__).parent / "static"
GREY = "#808690"  # reads on both grounds, where nothing tells which one it is
_FOLDER = Path(__file__).parent / "component"
_plots = st.components.v2.component(
    "esacl_plots",
    html='<div class="esacl-plots"><div class="panels"></div><div class="scales"></div><p class="trouble"></p></div>',
    css=(_FOLDER / "plots.css").read_text(encoding="utf-8"),
    js=(_FOLDER / "plots.js").read_text(encoding="utf-8"),
    isolate_styles=False,  # plotly.js puts its own styles into the document
)


@dataclass(frozen=True)
class Panel:
    """One figure with what stands over it, beneath it, and for those who cannot see it."""

    title: str
    figure: Figure
    note: str
    alt: str


def show(panels: Sequence[Panel], scale: dict[str, Any], kind: str, *, key: str) -> None:
    """Panels side by side with one key to their colours; `kind`: figures of one kind are changed in place."""
    address = library_address()
    if address is None:
        _plainly(panels, key)
        return
    texts = {"missing": text("plotly.js could not be loaded from this server")}
    data = {
        "source": address,
        "texts": texts,
        "kind": kind,
        "scale": scale,
        "panels": [vars(panel) for panel in panels],
    }
    _plots(data=data, key=key)


def library_file() -> Path | None:
    """plotly.js of the installed plotly package, found without loading the package; None where it is not there."""
    package = importlib.util.find_spec("plotly")
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / "package_data" / "plotly.min.js"
    return path if path.is_file() else None


def library_address(static: Path | None = None) -> str | None:
    """Where the browser finds plotly.js on this server; None where it cannot be served."""
    source = library_file()
    if source is None or not st.get_option("server.enableStaticServing"):
        return None
    target = (static or STATIC) / f"plotly-{importlib.metadata.version('plotly')}.min.js"
    try:
        if not target.is_file() or target.stat().st_size != source.stat().st_size:
            target.parent.mkdir(exist_ok=True)
            replace_file(target, source.read_bytes())
            for older in set(target.parent.glob("plotly-*.min.js")) - {target}:
                older.unlink(missing_ok=True)
    except OSError:
        return None
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"{f'/{base}' if base else ''}/app/static/{target.name}"


def _plainly(panels: Sequence[Panel], key: str) -> None:
    for place, panel in enumerate(panels):
        st.markdown(f"**{widgets.plain(panel.title)}**")
        figure = themed(panel.figure, GREY, "sans-serif")
        st.plotly_chart(figure, key=f"{key}-{place}", alt=panel.alt, config={"displaylogo": False})
        st.caption(widgets.plain(panel.note))
