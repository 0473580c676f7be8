"""What every test shares."""

import os
import sys

import pytest
from hypothesis import settings

# The tests' tensors are tiny: a second thread costs more than it brings. Read when torch is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples everywhere, and no limit on time: a busy machine is no bug.
settings.register_profile("esacl", max_examples=50, derandomize=True, deadline=None)
settings.load_profile("esacl")


@pytest.fixture(autouse=True)
def _main_module():
    """AppTest leaves its script as `__main__`, which a spawned process would run again."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before
