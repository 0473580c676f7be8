"""Faults of the server: what is logged as an error goes to the server's log as well, with its traceback."""

import logging

from esacl import logs
from esacl.store import RunStore

_FROM = ("app", "streamlit.error_util", "uvicorn.error", "asyncio")  # Streamlit's loggers pass nothing on to the root's


class _ToServerLog(logging.Handler):
    def __init__(self, store: RunStore) -> None:
        super().__init__(logging.ERROR)
        self._path = logs.server_log(store.root)

    def emit(self, record: logging.LogRecord) -> None:
        """A line of its own; the traceback is the end of the text, of which a log keeps the end."""
        if self._path.parent.parent.is_dir():  # a log makes no runs folder
            logs.note(self._path, "fault", logger=record.name, text=self.format(record))


def keep(store: RunStore) -> None:
    """From now on errors are kept in the log of the server over `store`, and in no other."""
    for name in _FROM:
        logger = logging.getLogger(name)
        for handler in [h for h in logger.handlers if isinstance(h, _ToServerLog)]:
            logger.removeHandler(handler)
        logger.addHandler(_ToServerLog(store))
