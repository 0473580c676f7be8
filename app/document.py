"""One HTML file that needs nothing else: text, tables and drawings. All text is escaped, and nothing else may run.

The content policy in the file names its one script and its one style by their hashes and allows no address at all, so
that even what escaped the escaping could neither run nor fetch.
"""

import base64
import hashlib
import html
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app import figure_script

_STYLE = """
:root { color-scheme: light dark; color: light-dark(#22262b, #e6e4df); background: light-dark(#fdfcfa, #15181c);
  --st-text-color: light-dark(#22262b, #e6e4df); --st-background-color: light-dark(#fdfcfa, #15181c);
  --st-font: system-ui, sans-serif; --st-heading-font: Georgia, serif;
  --st-primary-color: light-dark(#1f6aa5, #62a8e0); }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 74rem; margin: 2.2rem auto; padding: 0 1.2rem; }
h1, h2 { font-family: Georgia, serif; font-weight: 500; line-height: 1.25; text-wrap: balance;
  overflow-wrap: anywhere; }
h2 { margin: 2.6rem 0 .7rem; padding-top: .8rem; border-top: 1px solid #8884; }
p { max-width: 46rem; overflow-wrap: anywhere; } .small { font-size: .88rem; opacity: .8; }
.numbers { display: flex; flex-wrap: wrap; gap: 1rem 2.2rem; margin: 1.4rem 0; }
.numbers div { min-width: 8rem; } .numbers b { display: block; font: 500 1.6rem/1.2 Georgia, serif; }
.numbers span { font-size: .88rem; opacity: .8; }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin: .6rem 0 1.2rem; font-size: .9rem; }
th, td { padding: .25rem .8rem .25rem 0; text-align: left; border-bottom: 1px solid #8886; }
td { font-variant-numeric: tabular-nums; } .number { text-align: right; white-space: nowrap; }
pre { font: .84rem/1.45 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; padding: .8rem 1rem;
  background: light-dark(#f3f1ec, #1f2329); border-radius: 4px; }
details { margin: .6rem 0; } summary { cursor: pointer; }
section.figures { margin: .8rem 0 1.2rem; }
@media print {
  :root { color-scheme: light; } body { margin: 0; max-width: none; font-size: 11pt; }
  h2 { break-after: avoid; } figure, tr, .numbers { break-inside: avoid; } .slider, .save, .tip { display: none; }
  pre { max-height: none; }
}
"""
_DRAW = """
const parts = JSON.parse(document.getElementById("drawn").textContent);
document.querySelectorAll("section.figures").forEach((section, place) => {
  const box = document.createElement("div"), drawings = document.createElement("div");
  drawings.className = "drawings";
  box.append(drawings);
  section.append(box);
  draw({ parentElement: box, data: parts[place], setStateValue() {} });
});
"""


class Document:
    """Text, tables and drawings, one after the other; `html()` gives the file."""

    def __init__(self, title: str, language: str = "en") -> None:
        self.title = title
        self._language = language
        self._body = [f"<h1>{html.escape(title)}</h1>"]
        self._parts: list[Mapping[str, Any]] = []

    def heading(self, text: str) -> None:
        """The title of a section."""
        self._body.append(f"<h2>{html.escape(text)}</h2>")

    def paragraph(self, text: str, *, small: bool = False) -> None:
        """A paragraph of plain text."""
        self._body.append(f"<p{' class=small' if small else ''}>{html.escape(text)}</p>")

    def numbers(self, found: Sequence[tuple[str, str]]) -> None:
        """Large numbers in a row: (name, value)."""
        cells = "".join(f"<div><b>{html.escape(v)}</b><span>{html.escape(n)}</span></div>" for n, v in found)
        self._body.append(f'<div class="numbers">{cells}</div>')

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        about: str = "",
        numbers: Collection[str] = (),
    ) -> None:
        """A table of text; folded away under `about`, where that is given. `numbers`: columns flush right."""
        looks = [" class=number" if name in numbers else "" for name in columns]
        cells = [[f"<th{look}>{html.escape(name)}</th>" for name, look in zip(columns, looks)]]
        cells += [[f"<td{look}>{html.escape(cell)}</td>" for cell, look in zip(row, looks)] for row in rows]
        table = "".join(f"<tr>{''.join(line)}</tr>\n" for line in cells)
        self._fold(f'<div class="wide"><table>\n{table}</table></div>', about)

    def code(self, text: str, *, about: str = "") -> None:
        """Text as it is typed."""
        self._fold(f"<pre>{html.escape(text)}</pre>", about)

    def figures(self, part: Mapping[str, Any]) -> None:
        """What one drawing component shows: `{"drawings": [...], "scrub"?: ...}`; nothing where that is empty."""
        if part["drawings"]:
            self._parts.append(part)
            self._body.append('<section class="figures"></section>')

    def html(self) -> bytes:
        """The file."""
        script, style = figure_script.PLAIN + _DRAW, _STYLE + figure_script.STYLE
        policy = f"default-src 'none'; img-src data:; script-src {_hash(script)}; style-src {_hash(style)}; "
        policy += "base-uri 'none'; form-action 'none'"
        drawn = json.dumps(self._parts, allow_nan=False).replace("<", "\\u003c")
        return f"""<!doctype html>
<html lang="{html.escape(self._language)}"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width"><title>{html.escape(self.title)}</title>
<style>{style}</style></head><body>
{"".join(f"{part}{chr(10)}" for part in self._body)}
<script type="application/json" id="drawn">{drawn}</script>
<script type="module">{script}</script>
</body></html>
""".encode()

    def _fold(self, body: str, about: str) -> None:
        self._body.append(f"<details><summary>{html.escape(about)}</summary>{body}</details>" if about else body)


def _hash(text: str) -> str:
    """A source of a content policy: the text that may stand in the file."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
