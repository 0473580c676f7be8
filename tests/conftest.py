"""What every test shares."""

import os

# The tests' tensors are tiny: a second thread costs more than it brings. Read when torch is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
