"""What cannot be had together in a config: each conflict as one line that says what is wrong and what to do."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from esacl import narrowest, normalisation
from esacl.defaults import RANKED, SPARSEST, STRUCTURED, TWO_OF_FOUR, dark, prepared, rehearses
from esacl.protocols import BENCHMARKS

if TYPE_CHECKING:
    from esacl.config import RunConfig

LEAST_SIDE = 8  # of what a convolutional network halves three times
BY_THE_WEIGHT = ("packnet", "rigl", "sparcl")  # methods that hand out or move connections one by one
MOST_SPARSITY = 0.999  # fewer weights than one in a thousand is none at all in the smaller layers


def conflicts(config: "RunConfig") -> Iterator[str]:
    """Every conflict of a config whose fields are sound one by one."""
    for of in (
        _of_benchmark,
        _of_device,
        _of_cut,
        _of_any,
        _of_radius,
        _of_revival,
        _of_thrift,
        _of_structure,
        _of_curvature,
        _of_scenario,
        _of_logits,
        _of_joint,
        _of_selection,
        _of_buffer,
        _of_co2l,
    ):
        yield from of(config)
    asked = config.batchnorm.statistics, config.batchnorm.refresh
    if problem := normalisation.problem(config.network, config.scenario, config.method, config.sparsity, *asked):
        yield problem


def _of_benchmark(config: "RunConfig") -> Iterator[str]:
    facts = BENCHMARKS[config.benchmark]
    if config.scenario not in facts["scenarios"]:
        yield (
            f"scenario {config.scenario!r} does not fit benchmark {config.benchmark!r}; "
            f"choose from {', '.join(facts['scenarios'])}"
        )
    most = facts.get("max_tasks", facts["tasks"])
    if config.tasks > most:
        yield f"tasks {config.tasks} is more than {config.benchmark} has; choose 1 to {most}"
    sides = [facts["side"] // block for block in range(1, facts["side"] + 1) if facts["side"] % block == 0]
    smallest = LEAST_SIDE if config.network != "mlp" else 1
    if config.resolution not in (choices := [side for side in sides if side >= smallest]):
        yield (
            f"resolution: {config.resolution} will not do for {config.network!r} on {config.benchmark!r}, whose images "
            f"have {facts['side']} pixels a side, averaged over whole blocks; choose {', '.join(map(str, choices))}"
        )


def _of_device(config: "RunConfig") -> Iterator[str]:
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,2})?|mps", config.device):
        yield f"device {config.device!r:.80} is not known; choose auto, cpu, cuda, cuda:0, ... or mps"


def _of_cut(config: "RunConfig") -> Iterator[str]:
    if config.sparsity > MOST_SPARSITY:
        yield (
            f"sparsity: {config.sparsity} will not do: hardly a weight would be left; "
            f"choose a number in [0, 1), {MOST_SPARSITY} at most"
        )
    if config.sdp.cut < 1 and not prepared(config.method, config.to_dict()):
        yield (
            f"sdp.cut: {config.sdp.cut} will not do: only esacl with form admm or segment has one cut that sparse "
            "steps can follow; leave it at 1"
        )


def _of_any(config: "RunConfig") -> Iterator[str]:
    if config.method != "esacl" or config.sdp.form != "any":
        return
    if not 0 < config.sparsity <= SPARSEST:
        yield (
            f"sparsity: {config.sparsity} will not do with sdp.form 'any', which trains what is left between this and "
            f"{SPARSEST}; choose a number above 0 and up to {SPARSEST}"
        )
    if config.pruning.allocation != "global":
        yield (
            f"pruning.allocation: {config.pruning.allocation!r} will not do with sdp.form 'any', whose sub-networks "
            "follow one order of all weights; leave it at 'global'"
        )
    if config.network in normalisation.NETWORKS:
        yield (
            f"network: {config.network!r} will not do with sdp.form 'any': each sub-network would want BatchNorm "
            "statistics of its own; choose mlp or small-cnn, or another form"
        )


def _of_radius(config: "RunConfig") -> Iterator[str]:
    sparse_steps = config.sdp.form == "progressive" or config.sdp.cut < 1
    if config.sdp.radius > 0 and not (config.method == "esacl" and config.sparsity > 0 and sparse_steps):
        yield (
            f"sdp.radius: {config.sdp.radius} will not do: only esacl has sharpness-aware steps, and only once weights "
            "are gone (sdp.cut below 1, or form progressive); leave it at 0"
        )
    elif config.sdp.radius > 0 and config.buffer.rehearsal == "dark" and config.buffer.size > 0:
        yield (
            f"sdp.radius: {config.sdp.radius} will not do with a rehearsal of logits, which would be kept from where a "
            "sharpness-aware step looks; leave it at 0, or set buffer.rehearsal to 'plain'"
        )


def _of_revival(config: "RunConfig") -> Iterator[str]:
    if not config.sdp.revive:
        return
    if config.method != "esacl" or config.sparsity == 0:
        yield "sdp.revive: true will not do: only what esacl cuts has units to revive; leave it at false"
    elif config.activation != "relu":
        yield "sdp.revive: true will not do with softplus, under which no unit is dead; leave it at false"
    elif config.batchnorm.statistics == "task":
        yield (
            "sdp.revive: true will not do with batchnorm.statistics 'task': what earlier tasks keep of a dead channel "
            "has a variance of 0; leave it at false, or set the statistics to 'shared'"
        )


def _of_thrift(config: "RunConfig") -> Iterator[str]:
    exponent, ranked = config.pruning.flops_exponent, config.pruning.allocation in RANKED
    if exponent > 0 and (config.method in BY_THE_WEIGHT or config.sparsity == 0 or not ranked):
        yield (
            f"pruning.flops_exponent: {exponent} will not do: it weighs layers against each other where one cut ranks "
            "all their weights (esacl, or --sparsity of a dense method; allocation global or neuron); set it to 0"
        )


def _of_structure(config: "RunConfig") -> Iterator[str]:
    allocation = config.pruning.allocation
    if allocation not in STRUCTURED:
        return
    if config.method in BY_THE_WEIGHT:
        yield (
            f"pruning.allocation: {allocation!r} will not do for {config.method!r}, which chooses its connections one "
            "by one; choose global, erk or uniform, or another method"
        )
    if allocation == "2:4" and config.sparsity != TWO_OF_FOUR:
        yield (
            f"sparsity: {config.sparsity} will not do with pruning.allocation '2:4', which keeps two of every four "
            f"weights; leave it out or set it to {TWO_OF_FOUR}"
        )
    if allocation == "neuron" and (problem := narrowest.too_sparse(config.sparsity, narrowest.most_sparsity(config))):
        yield problem


def _of_curvature(config: "RunConfig") -> Iterator[str]:
    if config.curvature.grid == 1:
        yield "curvature.grid: 1 will not do: a slice has two ends; choose 0 (off) or 2 to 201"
    if config.curvature.during and not config.curvature.top:
        yield (
            f"curvature.during {config.curvature.during} estimates an eigenvalue, and curvature.top 0 measures none; "
            "set one of them otherwise"
        )
    if config.curvature.during and config.contrastive:
        yield (
            f"curvature.during {config.curvature.during} needs a loss of today's outputs, and the classifier of Co2L "
            "comes after a task; set it to 0"
        )


def _of_scenario(config: "RunConfig") -> Iterator[str]:
    if config.method == "packnet" and config.scenario != "task":
        yield (
            f"method 'packnet' must know the task, which scenario {config.scenario!r} does not tell; "
            "choose scenario task, or another method"
        )


def _of_logits(config: "RunConfig") -> Iterator[str]:
    if config.mask_logits and config.balance_logits:
        yield (
            "mask_logits and balance_logits will not do together: one keeps fresh examples from the past's columns, "
            "the other weighs all columns by how often they are seen; leave mask_logits false or balance_logits at 0"
        )
    for switch, off in (("mask_logits", "false"), ("balance_logits", "0")):
        value = getattr(config, switch)
        if not value:
            continue
        told = f"{switch}: {str(value).lower()} will not do"
        if config.scenario != "class":
            yield (
                f"{told}: it changes nothing in scenario {config.scenario!r}, where an example competes among the "
                f"columns of its own task anyway; leave it at {off}"
            )
        if config.method == "joint":
            yield f"{told}: 'joint' has no current task, all are learned at once; leave it at {off}"
        if config.contrastive:
            yield f"{told}: Co2L learns its features without logits; leave it at {off}"


def _of_joint(config: "RunConfig") -> Iterator[str]:
    if config.method != "joint":
        return
    if config.buffer.size:
        yield "buffer.size is of no use to 'joint', which sees all data; leave it at 0"


def _of_selection(config: "RunConfig") -> Iterator[str]:
    if config.ids.train_fraction == 1:
        return
    told = f"ids.train_fraction: {config.ids.train_fraction} will not do"
    sparcl = config.method == "sparcl"
    if config.buffer.rehearsal == "dark" and config.buffer.size:
        yield f"{told}: rehearsal with logits (DER++) has three losses and no one score to choose by; leave it at 1"
    if sparcl and config.sparcl.removal:
        yield f"{told}: SparCL chooses its examples by sparcl.removal; leave one of them off (1, or removal 0)"
    if config.contrastive:
        yield f"{told}: Co2L's loss is of a batch as a whole, not of its examples; leave it at 1"


def _of_buffer(config: "RunConfig") -> Iterator[str]:
    fields = config.to_dict()
    own = rehearses(config.method, fields)
    if own and not config.buffer.size:
        yield f"buffer.size: 0 will not do: {config.method!r} rehearses; choose a whole number from 1 on"
    if config.buffer.rehearsal == "dark" and not config.buffer.size:
        yield "buffer.rehearsal: 'dark' needs a memory; choose a buffer.size from 1 on, or leave it out"
    whose = "dark" if dark(config.method, fields) else "plain"
    if own and config.buffer.rehearsal != whose:
        yield (
            f"buffer.rehearsal: {config.buffer.rehearsal!r} is not {config.method!r}, whose own is {whose!r}; "
            "leave it out, or choose another method (or sparcl.base)"
        )


def _of_co2l(config: "RunConfig") -> Iterator[str]:
    if not config.contrastive:
        return
    if config.benchmark == "permuted-mnist":
        yield (
            "sparcl.base: 'co2l' will not do on 'permuted-mnist': it compares views of an image, and a shifted "
            "permutation is another permutation; choose another base or benchmark"
        )
    if config.augment != "none":
        yield f"augment: {config.augment!r} will not do: Co2L draws two views of each image itself; leave it at 'none'"
    if config.batchnorm.refresh or config.batchnorm.statistics == "task":
        yield (
            "batchnorm: refresh and statistics 'task' will not do: the classifier that follows Co2L's features is one "
            "for all tasks and learned on the statistics as they are; leave them false and 'shared'"
        )
