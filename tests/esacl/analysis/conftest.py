"""One run for every file here."""

import pytest
from looked_run import Run


@pytest.fixture(scope="session")
def looked() -> Run:
    """An unprepared cut at the end of the second task: its rise is far above rounding."""
    return Run({"method": "ewc", "epochs": 4}, task=1)
