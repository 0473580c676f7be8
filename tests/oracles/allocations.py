"""Peak memory of a call, from the profiler's record of every allocation."""

import torch
from torch.profiler import ProfilerActivity, profile

BLOCK = 4


def peak(work, vector):
    """Most bytes alive at once during `work()`, without blocks of BLOCK or more vectors of `vector` entries."""
    work()  # what is allocated once and kept (kernels, caches) is nobody's peak
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        kept = work()
    del kept
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    alive = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        size = event.nbytes()
        if not (size % (4 * vector) == 0 and abs(size) >= 4 * BLOCK * vector):
            alive += size
        most = max(most, alive)
    return most


def of_a_training_step(network, loss, data):
    """Peak bytes of forward, backward and a plain SGD update; the gradients are made and freed within."""
    optimiser = torch.optim.SGD(network.parameters(), lr=0.0)

    def step():
        loss(network(data[0]), *data[1:]).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return peak(step, sum(p.numel() for p in network.parameters()))
