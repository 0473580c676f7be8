"""What a run has cost, as an event: the FLOPs of its ledger, and the bytes of all that a learner holds."""

from typing import Any

from esacl.cost import Ledger
from esacl.events import CostCounted
from esacl.footprint import activation_bytes
from esacl.indexed import indexed_bytes
from esacl.mask import Mask
from esacl.stages import Stage
from esacl.training import Learner


def cost_so_far(learner: Learner, stage: Stage) -> CostCounted:
    """What the run has cost once this stage is over: all FLOPs until now, and the bytes that are held now."""
    ledger, mask, contrast = learner.ledger, learner.mask or Mask({}), learner.contrast
    values = sum(p.numel() for n, p in learner.parameters.items() if n not in mask) + mask.kept
    owned = learner.form.kept_bytes()
    return CostCounted(
        task=stage.task,
        train_flops=ledger.train_flops,
        train_flops_dense_sgd=ledger.train_flops_dense_sgd,
        train_flops_published_rule=ledger.train_flops_published_rule,
        analysis_flops=ledger.analysis_flops,
        examples_forward=ledger.examples_forward,
        examples_backward=ledger.examples_backward,
        weights_bytes=4 * (values + learner.statistics.numbers),
        masks_bytes=-(-mask.total // 8) if owned is None else owned,
        anchors_bytes=(learner.anchors.bytes if learner.anchors else 0) + (contrast.teacher_bytes if contrast else 0),
        buffer_bytes=_all_bytes(stage) if learner.joint else learner.buffer.bytes,
        optimiser_bytes=_optimiser_bytes(learner),
        activations_bytes=_activation_bytes(learner, stage),
        **_bill(ledger),
    )


def _all_bytes(stage: Stage) -> int:
    """Of every example of the stage, held as a buffer would hold it."""
    return indexed_bytes(stage.examples.inputs) + stage.examples.targets.nbytes


def _activation_bytes(learner: Learner, stage: Stage) -> int:
    if learner.contrast is not None:
        return learner.contrast.activation_bytes(stage, learner.buffer)
    taught = learner.teacher.taught if learner.teacher else None
    one = activation_bytes(learner.network, stage.examples.inputs[: learner.config.batch_size])
    return learner.passes * one + (0 if taught is None else taught.nbytes)


def _optimiser_bytes(learner: Learner) -> int:
    """The momentum, and what a form keeps beside the weights while it prepares a cut."""
    momentum = 4 * sum(p.numel() for p in learner.parameters.values()) if learner.config.momentum else 0
    prepares = learner.config.sparsity > 0
    return momentum + (sum(t.nbytes for t in learner.preparing.tensors().values()) if prepares else 0)


def _bill(ledger: Ledger) -> dict[str, Any]:
    """Where the FLOPs went; nothing where a part of them came without a bill."""
    if not ledger.itemised:
        return {}
    items = {f"{item}_flops": flops for item, flops in ledger.bill.items()}
    return {**items, "layer_names": tuple(ledger.by_layer), "layer_flops": tuple(ledger.by_layer.values())}
