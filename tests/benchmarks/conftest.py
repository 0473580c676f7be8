"""What the tests of the benchmarks share."""

from narrow import narrow_resnet

__all__ = ["narrow_resnet"]
