"""The groups of settings that a RunConfig is made of."""

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A frozen group of fields that refuses unknown keys and silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def choices(section: type[Section], field: str) -> tuple[str, ...]:
    """The names that a field of a section takes."""
    return get_args(section.model_fields[field].annotation)


Fraction = Annotated[float, Field(gt=0, le=1)]


class SDP(Section):
    """Sharpness-informed directional pruning: how training prepares the one-shot cut."""

    form: Literal["admm", "segment", "progressive", "any"] = "admm"
    """Any: one network for every sparsity from the run's own to 98%. Progressive for esacl above 95%, where it is not
    given."""
    strength: Annotated[float, Field(ge=0, le=100)] = 4.0
    """Dimensionless: of a doomed weight's distance exp(-strength) is left at the cut (segment: exp(-2 strength)).
    Progressive and any have no pull."""
    every: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Steps between two updates of the mask."""
    ramp: Fraction = 0.5
    """Share of the steps before the cut in which the pull grows from 0 to 1 (progressive, any: sparsity
    to its target)."""
    cut: Fraction = 1.0
    """Share of a task's steps that come before the one-shot cut; those after it are sparse. Where it is not given, 0.35
    for esacl with admm or segment, and 0.25 in task-IL up to 90%."""
    radius: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Of sharpness-aware steps on survivors: how far uphill every third sparse step takes its gradient; 0 = off."""
    revive: bool = False
    """Whether units that earlier cuts have left dead (no weight leads to them, or none reads them) begin a new task
    with new incoming weights, and outgoing weights of zero. On for esacl in task-IL, where it is not given; not with
    softplus, nor with BatchNorm statistics a task."""


class Pruning(Section):
    """The one-shot cut of a task."""

    saliency: Literal["second-order", "magnitude", "taylor", "random"] = "second-order"
    allocation: Literal["global", "erk", "uniform", "2:4", "neuron"] = "global"
    """How the budget is shared out; 2:4 keeps two of every four weights of a row, neuron removes whole units."""
    flops_exponent: Annotated[float, Field(ge=0, le=1)] = 0.0
    """A weight's saliency is divided by this power of how often a forward pass multiplies by it, so that of two
    weights that matter alike the cheaper one stays; 0 = off, and in an MLP nothing. Where neither it nor `sdp.cut`,
    a saliency or an allocation is given, 0.2 for esacl with one cut in task-IL up to 90%."""


class IDS(Section):
    """Intelligent data selection: importance sampling of the instances that estimate the landscape."""

    fraction: Fraction = 0.25
    score: Literal["ggn-trace", "el2n", "uniform"] = "ggn-trace"
    train_fraction: Fraction = 1.0
    """Share of a training batch that takes part in the backward pass; 1 = off. With the score `uniform`, and where
    choosing does not pay, as many at random as cost the same in a dense step, forward pass included."""


class Anchor(Section):
    """The quadratic anchor that consolidates earlier tasks."""

    strength: Annotated[float, Field(ge=0, le=1e6)] = 3.0
    """lambda, of the weights' way from where they were; ten times that of a penalty in the loss, as published ones are,
    whatever the momentum. Where it is not given: 0.1 beside distillation, and 0.03 in
    class-IL with a rehearsal of logits beside it."""
    distillation: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    """Of what the outputs of earlier tasks on today's examples have moved; 0 = off, as published for other methods."""
    guard: bool = True
    """Anchor weights from idle units as if the units were active; off for `ewc`, which is published without, and in
    domain-IL, where every task wakes the same classes."""


class Buffer(Section):
    """Rehearsal memory (reservoir sampling)."""

    size: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    rehearsal: Literal["plain", "dark"] = "plain"
    """What joins a batch: as many kept images; or two draws, the first with the logits that it had (DER++).
    Where it is not given, `dark` for DER++, for SparCL over it, and for EsaCL in class-IL."""


class DERPP(Section):
    """Weights of the two replayed terms of DER++ (Buzzega et al. 2020, eq. 6)."""

    alpha: Annotated[float, Field(ge=0, le=100)] = 0.2
    """Of the squared distance between logits."""
    beta: Annotated[float, Field(ge=0, le=100)] = 0.5
    """Of the cross-entropy."""


class PackNet(Section):
    """PackNet."""

    retrain: Annotated[float, Field(gt=0, lt=1)] = 0.34
    """Share of a task's steps that retrain what was kept."""


class RigL(Section):
    """RigL (Evci et al. 2020)."""

    every: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Steps between two moves of connections; a task here has hundreds of steps, where the paper's has 32,000."""
    moved: Fraction = 0.3
    """Share of a layer's connections that the first move takes; it falls as half a cosine."""
    until: Fraction = 0.75
    """Share of a task's steps after which connections stay."""


class SparCL(Section):
    """SparCL."""

    base: Literal["ewc", "er", "derpp", "co2l"] = "derpp"
    """What holds the past. Under co2l features are learned by contrast, without logits, and a classifier after them."""
    removal: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Share of a task's examples that is gone after half of its epochs."""
    updated: Fraction = 0.8
    """Share of the survivors that a step updates."""


class BatchNorm(Section):
    """The running statistics of a network with BatchNorm."""

    statistics: Literal["shared", "task"] = "shared"
    """One set for all tasks, or one for each (task-IL only; the default of packnet there)."""
    refresh: bool = False
    """Recompute them after each cut on the task's training images: forward passes, no label, no weight moves."""


class Curvature(Section):
    """How much of the loss landscape a run measures. None of it changes the weights."""

    top: Annotated[int, Field(ge=0, le=20)] = 3
    """Top Hessian eigenvalues at each point; 0 = off."""
    examples: Annotated[int, Field(ge=8, le=100_000)] = 500
    """At most so many of a task's training examples form the pool of every landscape estimate."""
    levels: Annotated[int, Field(ge=0, le=100)] = 25
    """Sparsity levels of the sparsity curve; 0 = off."""
    grid: Annotated[int, Field(ge=0, le=201)] = 25
    """Points a side of the landscape slices, from 2; 0 = off."""
    during: Annotated[int, Field(ge=0, le=100)] = 0
    """At most so many times in each task, while it is learned, the sharpness is estimated from the instances that IDS
    chooses; 0 = off. Where it is not given, 10; 0 where `top` is 0, and over Co2L, whose classifier comes later."""
