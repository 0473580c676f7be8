"""Faults of the server: what these loggers call an error is in the server's log, with its traceback.

It is on the console as well, as if nobody listened here: who has a handler of their own shows it, and for the others,
of whom Python shows warnings only where they have none, that is made up for.
"""

import logging

from esacl import logs
from esacl.store import RunStore

_FROM = (  # Streamlit's loggers pass nothing on to the root's
    "app", "streamlit.error_util", "streamlit.runtime.scriptrunner.script_runner", "uvicorn.error", "asyncio",
)  # fmt: skip


class _ToServerLog(logging.Handler):
    def __init__(self, store: RunStore) -> None:
        super().__init__(logging.ERROR)
        self._path = logs.server_log(store.root)

    def emit(self, record: logging.LogRecord) -> None:
        """A line of its own; the traceback is the end of the text, of which a log keeps the end."""
        try:
            if self._path.parent.parent.is_dir():  # a log makes no runs folder
                logs.note(self._path, "fault", logger=record.name, text=self.format(record))
        except Exception:  # whoever logs is not to suffer from it
            self.handleError(record)


class _Console(logging.StreamHandler):
    """Where Python's last resort would have written."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self.setLevel(level)


def keep(store: RunStore) -> None:
    """From now on errors are kept in the log of the server over `store`, and in no other."""
    for name in _FROM:
        logger = logging.getLogger(name)
        for handler in [h for h in logger.handlers if isinstance(h, _ToServerLog)]:
            logger.removeHandler(handler)
        if not logger.hasHandlers():
            logger.addHandler(_Console(logging.WARNING))
        logger.addHandler(_ToServerLog(store))
