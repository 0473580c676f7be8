"""ResNet-18 a sixteenth as wide: its invariants do not depend on the width, and 11 million weights take minutes."""

from functools import partial

import pytest


@pytest.fixture(autouse=True)
def narrow_resnet(monkeypatch):
    """For every test of the folder whose conftest imports this."""
    from esacl import networks

    monkeypatch.setitem(networks.NETWORKS, "resnet18", partial(networks.resnet18, width=4))
