"""Which code this is: what a version number does not tell, a digest of the sources does."""

import hashlib
from functools import lru_cache
from pathlib import Path

from esacl import __version__, machine

NUMBERS = ("torch", "numpy")  # packages whose versions decide a run's last digits
_PACKAGE = Path(__file__).resolve().parent


@lru_cache
def code(package: Path = _PACKAGE) -> str:
    """Eight hex digits of all sources of the package, as they lay on the disk when it was first asked for."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:8]


def told() -> str:
    """EsaCL with its code, and what it computes by: equal where two places compute the same.

    A build's own mark (`2.13.0+cpu`) is left out: a machine with a GPU has another than one without.
    """
    found = machine.versions(NUMBERS)
    versions = (f"{name} {(version or 'not installed').partition('+')[0]}" for name, version in found.items())
    return f"EsaCL {__version__} (code {code()}) with {', '.join(versions)}"
