"""x."""


def table() -> None:
    """x."""


def on_the_run() -> None:
    """x."""
