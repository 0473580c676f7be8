"""Setting the controls of a new run to what another run was made with."""

from app import competing, controls, session
from esacl import protocols
from esacl.config import BENCHMARKS, RunConfig


def fill(config: RunConfig) -> set[str]:
    """Set the controls to a config, as far as they reach; returns the settings that they stand for."""
    benchmark, method = config.benchmark, config.method
    usual, facts = controls.usual_of(benchmark, config.scenario, method), BENCHMARKS[benchmark]
    protocol, form = config.protocol, config.sdp.form
    balance, begins = competing.strength_of(method)
    chosen = {
        "benchmark": ("new-benchmark", benchmark),
        "scenario": (f"new-scenario-{len(facts['scenarios'])}", config.scenario),
        "protocol": (f"new-protocol-{len(protocols.of(benchmark))}", protocol),
        "method": ("new-method", method),
        "sparsity": (f"new-sparsity-{usual.sparsity > 0}", min(99.5, round(100 * config.sparsity, 2))),
        "pruning.allocation": (f"new-{controls.allocations_of(usual)[1]}", config.pruning.allocation),
        "ids.fraction": ("new-ids", min(100, max(5, round(100 * config.ids.fraction)))),
        "anchor.strength": (f"new-anchor-{usual.anchor.strength}", min(1e6, config.anchor.strength)),
        "epochs": (f"new-epochs-{benchmark}-{protocol}", config.epochs),
        "seed": ("new-seed", config.seed),
        "device": ("new-device", config.device if config.device in controls.devices() else "auto"),
        "tasks": (f"new-tasks-{benchmark}-{protocol}", config.tasks),
        "network": ("new-network", config.network),
        "train_limit": ("new-limit", config.train_limit),
        "buffer.size": (f"new-buffer-{usual.buffer.size}", config.buffer.size),
        "sparcl.base": ("new-base", config.sparcl.base),
        "mask_logits": (competing.KEY, competing.of(config)),
        "balance_logits": (balance, config.balance_logits or begins),
        "sdp.form": ("new-form", controls.USUAL if form == controls.form_at(config.sparsity) else form),
        "name": ("new-name", config.name),
    }
    for key, value in chosen.values():
        session.refill(key, value)
    return set(chosen)
