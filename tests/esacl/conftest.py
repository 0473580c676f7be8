"""What the tests of the library share."""

from narrow import narrow_resnet

__all__ = ["narrow_resnet"]
