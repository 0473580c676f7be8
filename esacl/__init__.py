"""EsaCL: efficient continual learning of sparse models (after Ren & Honavar, SDM 2024).

`import esacl` loads neither torch nor pydantic; each public name is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

if TYPE_CHECKING:
    from esacl.config import RunConfig, read_config
    from esacl.errors import InputError, RunUnreadable
    from esacl.pipeline import run
    from esacl.store import RunStore

_HOME = {
    "RunConfig": "config",
    "read_config": "config",
    "InputError": "errors",
    "RunUnreadable": "errors",
    "RunStore": "store",
    "run": "pipeline",
}
__all__ = ["InputError", "RunConfig", "RunStore", "RunUnreadable", "__version__", "read_config", "run"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'esacl' has no attribute {name!r}")
    return getattr(importlib.import_module(f"esacl.{_HOME[name]}"), name)
