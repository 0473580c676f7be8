"""How much memory a run takes, of the device that it turns out to be on."""

from collections.abc import Iterable, Iterator

from esacl import machine, processes
from esacl.events import Event, RunStarted


class Memory:
    """Looks at the memory of the device that the run turns out to be on."""

    def __init__(self, device: str) -> None:
        self._device = device

    def watch(self, events: Iterable[Event]) -> Iterator[Event]:
        """Passes `events` on and notes the device."""
        for event in events:
            if isinstance(event, RunStarted):
                self._device = event.device
            yield event

    def measure(self) -> dict[str, int]:
        """Bytes: the most that was held, what is held now, and what there is."""
        if self._device.startswith("cuda"):
            import torch

            free, total = torch.cuda.mem_get_info(self._device)
            peak = torch.cuda.max_memory_allocated(self._device)
            return {"peak_bytes": peak, "device_bytes": total - free, "device_total_bytes": total}
        held, total = processes.memory_bytes()
        return {"peak_bytes": machine.peak_bytes(), "device_bytes": held, "device_total_bytes": total}
