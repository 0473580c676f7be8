"""Downloads whose hash is checked before anything is kept."""

import contextlib
import os
from pathlib import Path

TIMEOUT = 20  # seconds without an answer


class NotDownloaded(Exception):
    """Why no mirror gave the file, in a few words."""


def download(mirrors: tuple[str, ...], name: str, known_hash: str, folder: Path) -> Path:
    """The file `name` in `folder`, from the first mirror that has it; one that is there with its hash is kept.

    Args:
        mirrors: addresses that end with a slash, tried in this order.
        name: of the file, there and here.
        known_hash: as pooch takes it, "sha256:..." or "md5:...".
        folder: made where it is missing, and removed again where nothing came.

    Raises:
        NotDownloaded: no mirror gave a file with this hash; nothing is left behind.
    """
    import pooch  # only a download needs it, and it brings requests along

    pooch.get_logger().setLevel("WARNING")
    reason = ""
    new = [path for path in (folder, *folder.parents) if not os.path.exists(path)]  # innermost first
    for mirror in mirrors:
        try:
            downloader = pooch.HTTPDownloader(timeout=TIMEOUT)
            return Path(pooch.retrieve(mirror + name, known_hash, fname=name, path=folder, downloader=downloader))
        except (OSError, ValueError) as error:  # requests' errors are OSErrors, a wrong hash is a ValueError
            reason = reason or _why_not(error)
    for path in new:
        with contextlib.suppress(OSError):  # it was never made, or is not empty
            path.rmdir()
    raise NotDownloaded(reason or "no mirror is known")


def _why_not(error: Exception) -> str:
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return "what came had the wrong hash"
    if isinstance(error, PermissionError):
        return "the folder is not writable"
    if type(error).__name__ in ("ConnectionError", "ConnectTimeout", "ReadTimeout", "SSLError", "ProxyError"):
        return "no connection"  # the texts of requests fill a screen
    return " ".join(str(error).split())[:120] or type(error).__name__
