"""Faults of the server: what these loggers call an error is in the server's log, with its traceback.

On the console it is as before.
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


def keep(store: RunStore) -> None:
    """From now on errors are kept in the log of the server over `store`, and in no other."""
    for name in _FROM:
        logger = logging.getLogger(name)
        for handler in [h for h in logger.handlers if isinstance(h, _ToServerLog)]:
            logger.removeHandler(handler)
        if logging.lastResort and not logger.hasHandlers():  # it writes where nobody else is, and now somebody is
            logger.addHandler(logging.lastResort)
        logger.addHandler(_ToServerLog(store))
