"""What every test shares."""

import os

from hypothesis import settings

# The tests' tensors are tiny: a second thread costs more than it brings. Read when torch is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples everywhere, and no limit on time: a busy machine is no bug.
settings.register_profile("esacl", max_examples=50, derandomize=True, deadline=None)
settings.load_profile("esacl")
