"""The script and the style that draw figures: a module for Streamlit's component, plain functions for a file."""

from pathlib import Path

_FOLDER = Path(__file__).parent / "component"


def _joined(kind: str, *names: str) -> str:
    return "".join((_FOLDER / f"{name}.{kind}").read_text(encoding="utf-8") for name in names)


STYLE = _joined("css", "drawing", "linked")
MODULE = _joined("js", "linked", "mask", "slider", "drawing")  # its default export is what Streamlit calls
PLAIN = MODULE.replace("export default function", "function draw")  # `draw({parentElement, data, setStateValue})`
