"""`esacl doctor`: what this machine has and what is missing, and how the runs are, in one look."""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

from esacl import machine
from esacl.checkup import check
from esacl.errors import InputError
from esacl.store import RunStore

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
APP_PACKAGES = ("streamlit", "plotly", "pandas")


def examine(runs: Path, data: Path | None, *, repair: bool = False) -> dict[str, Any]:
    """Versions, hardware, devices, data sets and where they lie, the runs folder, the browser.

    What is wrong with the runs is told; with `repair`, what can be mended without losing anything is mended.
    """
    found = machine.facts()
    found["versions"] |= machine.versions(APP_PACKAGES)
    found["devices"] = _devices()
    found["data"] = _data(data)
    store = RunStore(runs)
    found["runs"] = {
        "folder": str(runs.absolute()),
        "writable": _writable(runs),
        "kept": _kept(store),
        "findings": check(store, repair=repair),
    }
    found["chromium"] = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    return found


def as_text(found: dict[str, Any]) -> str:
    """The same for a reader; what is missing says what to do."""
    lines = [f"{name:<14}{version or 'not installed'}" for name, version in found["versions"].items()]
    if "code" in found:
        lines.append(f"code          {found['code']}")
    hardware = found["hardware"]
    memory = f", {hardware['memory_bytes'] / 2**30:.0f} GiB" if hardware["memory_bytes"] else ""
    lines += ["", f"machine       {hardware['cpu']}, {hardware['cores']} cores{memory}, {hardware['system']}"]
    lines += [f"device        {name}: {what}" for name, what in found["devices"].items()]
    lines += ["", *(f"{name:<14}{_place(entry)}" for name, entry in found["data"].items())]
    place = found["runs"]
    remark = "" if place["writable"] else " (not writable: name another with --runs)"
    lines.append(f"runs          {place['folder']}{remark}")
    lines += [f"              {_told(finding)}" for finding in place["findings"]]
    if any(finding["safe"] and not finding["mended"] for finding in place["findings"]):
        lines.append("              `esacl doctor --repair` does what is safe")
    missing = "not found; only the browser tests need it"
    lines.append(f"chromium      {found['chromium'] or missing}")
    return "\n".join(lines)


def _told(finding: dict[str, Any]) -> str:
    where = f"{finding['run']}: " if finding["run"] else ""
    return f"{where}{finding['what']} ({'mended' if finding['mended'] else finding['remedy']})"


def _devices() -> dict[str, str]:
    try:
        import torch
    except (ImportError, OSError) as error:  # a broken installation is what a doctor is there to name
        return {"none": f"torch cannot be loaded ({error})"}
    found = {"cpu": f"{torch.get_num_threads()} threads"}
    for index in range(torch.cuda.device_count()):
        total = torch.cuda.get_device_properties(index).total_memory
        found[f"cuda:{index}"] = f"{torch.cuda.get_device_name(index)}, {total / 2**30:.0f} GiB"
    if torch.backends.mps.is_available():
        found["mps"] = "Apple GPU"
    return found


def _data(data: Path | None) -> dict[str, dict[str, Any]]:
    from esacl import cifar, tiny_imagenet
    from esacl.datasets import MNIST_FOLDERS, default_folder, mnist_folder

    folder = data or default_folder()
    mnist = mnist_folder(folder)
    wanted = (folder / MNIST_FOLDERS[0]).absolute()
    found: dict[str, dict[str, Any]] = {
        "split-digits": {"found": True, "where": "in scikit-learn", "files": ""},
        "MNIST": {"found": mnist is not None, "where": str((mnist or wanted).absolute()), "files": "the four files"},
    }
    for archive in (cifar.CIFAR10.archive, cifar.CIFAR100.archive, tiny_imagenet.ARCHIVE):
        place = (folder / archive.folder).absolute()
        found[archive.title] = {"found": place.is_dir(), "where": str(place), "files": archive.contents}
    return found


def _place(entry: dict[str, Any]) -> str:
    where = str(entry["where"])
    return where if entry["found"] else f"not there: downloaded at its first use, or put {entry['files']} in {where}"


def _kept(store: RunStore) -> int:
    with contextlib.suppress(InputError):  # of which the findings tell
        return len(store.ids())
    return 0


def _writable(folder: Path) -> bool:
    place = folder.absolute()
    while not os.path.exists(place):
        place = place.parent
    return os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK)
