"""What the tests of the app's functions look at: the events and arrays of one synthetic run."""

import pytest
from synthetic_run import synthetic_config, synthetic_events

from app import session
from esacl.events import ArrayRecorded


@pytest.fixture(autouse=True)
def _speaks_english():
    """What an earlier test chose is forgotten: all sessions of AppTest bear one name."""
    session._chosen.clear()


@pytest.fixture(scope="session")
def config():
    return synthetic_config()


@pytest.fixture(scope="session")
def events(config):
    return synthetic_events(config)


@pytest.fixture(scope="session")
def arrays(events):
    return {event.name: event.arrays for event in events if isinstance(event, ArrayRecorded)}
