"""What a config leaves open: settled by benchmark, protocol and method, so that a run's record says everything."""

import os
from typing import Any

from esacl import normalisation, published
from esacl.protocols import BENCHMARKS, preset
from esacl.sections import SDP, Anchor, Curvature

SPARSE_METHODS = ("esacl", "packnet", "rigl", "sparcl")  # sparse unless told otherwise
SPARSITY = 0.9
TWO_OF_FOUR = 0.5  # the one sparsity of the allocation 2:4
STRUCTURED = ("2:4", "neuron")  # allocations that do not choose weights one by one
RANKED = ("global", "neuron")  # allocations that rank over all layers
SPARSEST = 0.98  # what the form `any` goes to
PREPARED_TO = 0.95  # sparser than this a few hundred steps do not prepare one cut, and EsaCL prunes little by little
CUT = 0.35  # of a task's steps come before the one-shot cut of esacl
CHEAP_TO, CHEAP_CUT, THRIFT = 0.9, 0.25, 0.2  # up to this sparsity in task-IL: so early, and cheap weights first
HELD, HELD_ALONE = 0.1, 3.0  # the anchors' strength beside distillation, and where nothing else holds the past
HELD_REHEARSED = 0.03  # and in class-IL beside distillation and a rehearsal with logits
BALANCED = 1.25  # how strongly classes are balanced there
DURING = 10  # estimates of the sharpness while a task is learned, a few products of the chosen instances each
BUFFER = 500  # examples a method that rehearses keeps, where the benchmark does not say


def resolved(given: dict[str, Any]) -> dict[str, Any]:
    """The fields with all that hangs on other fields filled in; benchmark, method and protocol are names that exist.

    What is given stays, wrong types included: the model's own validation says what is wrong with them.

    Raises:
        InputError: the protocol has no settings for the benchmark.
    """
    fields = {"benchmark": "split-digits", "method": "esacl", "protocol": "small", **given}
    method, facts = fields["method"], BENCHMARKS[fields["benchmark"]]
    fields.setdefault("scenario", facts["scenarios"][0])
    if fields.get("network") == "auto":
        del fields["network"]
    contrastive = method == "sparcl" and base_of(fields) == "co2l"
    if contrastive:
        fields.setdefault("augment", "none")  # it makes views of its own, whatever the protocol says
    size = _size(fields)
    fields = preset(fields["protocol"], fields["benchmark"], method, size=size, contrastive=contrastive) | fields
    fields.setdefault("resolution", facts["side"])
    fields.setdefault("sparsity", _sparsity(method, fields))
    fields.setdefault("threads", 1 if fields["network"] == "mlp" else os.cpu_count() or 1)
    if method == "sparcl" and fields["scenario"] == "class" and not contrastive:
        fields.setdefault("mask_logits", not fields.get("balance_logits"))
    if _told_apart_by_replay(fields):
        fields.setdefault("balance_logits", 0.0 if "mask_logits" in fields else BALANCED)
    for section, values in _sections(method, fields, facts).items():
        own = fields.get(section, {})
        if isinstance(own, dict):
            fields[section] = values | own
    return fields


def _sparsity(method: str, fields: dict[str, Any]) -> float:
    if _given(fields, "pruning", "allocation", "global") == "2:4":
        return TWO_OF_FOUR
    return SPARSITY if method in SPARSE_METHODS else 0.0


def _sections(method: str, fields: dict[str, Any], facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What hangs on other fields within the sections."""
    ours = method == "esacl"
    whose = normalisation.default_statistics(fields["network"], fields["scenario"], method)
    return {
        "buffer": ({"size": facts.get("buffer", BUFFER)} if rehearses(method, fields) else {})
        | {"rehearsal": "dark" if dark(method, fields) else "plain"},
        "pruning": ({} if ours else {"saliency": "magnitude"})
        | ({"allocation": "erk"} if method == "rigl" else {})
        | ({"flops_exponent": THRIFT} if _thrifty(method, fields) else {}),
        "derpp": _derpp(fields),
        "sdp": {"form": form_of(method, fields), "cut": _cut(method, fields)}
        | {"revive": _revives(method, fields, whose)},
        "anchor": {"strength": _strength(method, fields)} | _held(ours, fields["scenario"]),
        "batchnorm": {"statistics": whose},
        "curvature": {"during": _during(fields)},
    }


def _during(fields: dict[str, Any]) -> int:
    """How often the sharpness is estimated while a task is learned: not at all where nothing can be measured then."""
    unmeasured = _given(fields, "curvature", "top", Curvature().top) == 0
    contrastive = fields["method"] == "sparcl" and base_of(fields) == "co2l"
    return 0 if unmeasured or contrastive else DURING


def _derpp(fields: dict[str, Any]) -> dict[str, float]:
    """DER++'s weights, where the protocol publishes them."""
    return published.weights(fields["benchmark"], _size(fields)) if fields["protocol"] == "der" else {}


def _size(fields: dict[str, Any]) -> int:
    """How many examples a method keeps if it rehearses."""
    size = _given(fields, "buffer", "size", BENCHMARKS[fields["benchmark"]].get("buffer", BUFFER))
    return size if isinstance(size, int) else BUFFER


def form_of(method: str, fields: dict[str, Any]) -> str:
    """The form of SDP, by the sparsity where it was not said."""
    sparsity = fields["sparsity"]
    beyond = method == "esacl" and isinstance(sparsity, float) and sparsity > PREPARED_TO
    return str(_given(fields, "sdp", "form", "progressive" if beyond else SDP().form))


def _cut(method: str, fields: dict[str, Any]) -> float:
    """Where in a task the cut comes that was not said: in the middle where the form allows it, else at the end."""
    if not prepared(method, fields):
        return 1.0
    return CHEAP_CUT if _cheap(method, fields) else CUT


def prepared(method: str, fields: dict[str, Any]) -> bool:
    """Whether training prepares one cut; the fields have a sparsity."""
    return method == "esacl" and form_of(method, fields) in ("admm", "segment") and fields["sparsity"] != 0


def _cheap(method: str, fields: dict[str, Any]) -> bool:
    """Whether one cut holds at under half of dense SGD's FLOPs.

    A quarter of a task does not prepare a deeper cut, and outside of task-IL it has not been validated.
    """
    sparsity = fields["sparsity"]
    shallow = isinstance(sparsity, float) and sparsity <= CHEAP_TO
    return prepared(method, fields) and shallow and fields["scenario"] == "task"


def _thrifty(method: str, fields: dict[str, Any]) -> bool:
    """Whether of two weights that matter alike the cheaper one stays: beside the early cut, if nothing else is said."""
    plain = _given(fields, "pruning", "allocation", "global") == "global" and _given(fields, "sdp", "cut", None) is None
    ours = _given(fields, "pruning", "saliency", "second-order") == "second-order"
    return _cheap(method, fields) and plain and ours


def _revives(method: str, fields: dict[str, Any], whose: str) -> bool:
    """Whether dead units come back with a new task, where a cut can leave any and nothing is kept of them.

    In task-IL alone: elsewhere it has not been validated.
    """
    kept_apart = _given(fields, "batchnorm", "statistics", whose) == "task"
    leaves_any = fields["sparsity"] != 0 and fields.get("activation", "relu") == "relu"
    return method == "esacl" and fields["scenario"] == "task" and leaves_any and not kept_apart


def _held(ours: bool, scenario: str) -> dict[str, Any]:
    """What holds the past beside the anchors' strength, where it was not said.

    In domain-IL no head is another task's: units that are idle today are what a new task has to learn with.
    """
    if not ours:
        return {"guard": False, "distillation": 0.0}
    return {"guard": False} if scenario == "domain" else {}


def _strength(method: str, fields: dict[str, Any]) -> float:
    """How strongly to anchor where it was not said: distillation holds too, but for domain-IL, where it cannot."""
    distilled = _given(fields, "anchor", "distillation", Anchor().distillation if method == "esacl" else 0.0) != 0
    if not distilled or fields["scenario"] == "domain":
        return HELD_ALONE
    return HELD_REHEARSED if _told_apart_by_replay(fields) else HELD


def rehearses(method: str, fields: dict[str, Any]) -> bool:
    """Whether the method is none without a buffer."""
    return method in ("er", "derpp") or (method == "sparcl" and base_of(fields) != "ewc")


def dark(method: str, fields: dict[str, Any]) -> bool:
    """Whether what is rehearsed comes with its logits, where it was not said."""
    return method == "derpp" or (method == "sparcl" and base_of(fields) == "derpp") or _told_apart_by_replay(fields)


def _told_apart_by_replay(fields: dict[str, Any]) -> bool:
    """Whether it is EsaCL in class-IL with a buffer: only what is replayed tells classes of different tasks apart.

    Not where another rehearsal was asked for, or steps on chosen instances, which three losses do not allow.
    """
    size = _given(fields, "buffer", "size", 0)
    free = _given(fields, "buffer", "rehearsal", "dark") == "dark" and _given(fields, "ids", "train_fraction", 1) == 1
    rehearsed = isinstance(size, int) and size > 0 and free
    return rehearsed and fields["method"] == "esacl" and fields["scenario"] == "class"


def base_of(fields: dict[str, Any]) -> str:
    """What SparCL is laid over."""
    return str(_given(fields, "sparcl", "base", "derpp"))


def _given(fields: dict[str, Any], section: str, key: str, otherwise: Any) -> Any:
    own = fields.get(section, {})
    return own.get(key, otherwise) if isinstance(own, dict) else otherwise
