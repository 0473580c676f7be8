"""The page frame: look, navigation, the run that all pages show, and the one place where errors become a line."""

import logging

import streamlit as st

from app import garbage, glossary, pickers, reading, session, tour, widgets
from app.language import marked, text
from esacl.errors import InputError, RunFailure

PAGES = {  # file -> (title, path in the address)
    "start": (marked("Overview"), ""),
    "runs": (marked("Runs"), "runs"),
    "run": (marked("Run"), "run"),
    "forgetting": (marked("Forgetting"), "forgetting"),
    "training": (marked("Training"), "training"),
    "sparsity": (marked("Sparsity"), "sparsity"),
    "curvature": (marked("Curvature"), "curvature"),
    "landscape": (marked("Landscape"), "landscape"),
    "theory": (marked("Theory"), "theory"),
    "selection": (marked("Selection"), "selection"),
    "cost": (marked("Cost"), "cost"),
    "deploy": (marked("Deploy"), "deploy"),
    "compare": (marked("Compare"), "compare"),
    "experiments": (marked("Experiments"), "experiments"),
}


def main() -> None:
    """Draw the frame and the page in it."""
    session.note_language()
    st.set_page_config(page_title="EsaCL", page_icon=str(reading.ASSETS / "mark.svg"), layout="wide")
    st.html(reading.ASSETS / "theme.css")
    st.logo(str(reading.ASSETS / "logo.svg"), size="large")
    pages = [
        st.Page(f"../pages/{name}.py", title=text(title), url_path=path or None, default=not path)
        for name, (title, path) in PAGES.items()
    ]
    page = st.navigation(pages, position="top")
    session.remember("_pages", {path: title for title, path in PAGES.values()})
    here = next(name for name, (_, path) in PAGES.items() if path == page.url_path)
    if session.remembered("_page") != here:
        session.remember("_page", here)
        glossary.close()
    try:
        found = reading.entries()
        session.lists(found)
        entry = pickers.run_picker(found)
        session.current(entry)
        for wrong in session.put_right(entry.config.tasks) if entry and entry.config else ():
            widgets.say("warning", wrong)
        tour.banner(here, {name: title for name, (title, _) in PAGES.items()})
        page.run()
    except reading.NoRun as nothing:
        widgets.say("info", str(nothing))
    except (InputError, RunFailure) as error:
        widgets.say("error", str(error))
    except Exception as error:  # a fault of ours: the reader gets a line, the log of the server the rest
        logging.getLogger("app").exception("page %s", page.url_path)
        name = type(error).__name__
        said = text("This page cannot be drawn (%(error)s); the log of the server says more.", error=name)
        widgets.say("error", said)
    session.publish()
    garbage.leave_out(here)


main()
