"""Co2L's losses against plain loops over plain numbers."""

import math

import pytest
import torch
import torch.nn.functional as F

from esacl.contrastive import CONTRAST, CURRENT, PAST, asymmetric_contrast, nearest_class, relation_distillation
from esacl.seeds import torch_generator

TARGETS = [2, 0, 2, 3, 2, 0, 2, 3]  # four images, then their second views
ANCHORS = [True, False, True, True] * 2


def directions(purpose: str, m: int = 8, d: int = 3) -> torch.Tensor:
    return F.normalize(torch.randn(m, d, generator=torch_generator(0, purpose), dtype=torch.float64))


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b))


def contrast_by_hand(z: list[list[float]], targets: list[int], anchors: list[bool]) -> float:
    found = []
    for i in range(len(z)):
        if not anchors[i]:
            continue
        below = sum(math.exp(cosine(z[i], z[k]) / 0.5) for k in range(len(z)) if k != i)
        positives = [j for j in range(len(z)) if j != i and targets[j] == targets[i]]
        found.append(-sum(math.log(math.exp(cosine(z[i], z[j]) / 0.5) / below) for j in positives) / len(positives))
    return sum(found) / len(found)


def relations(z: list[list[float]], i: int, temperature: float) -> list[float]:
    others = [math.exp((cosine(z[i], z[k]) - 1) / temperature) for k in range(len(z)) if k != i]
    return [other / sum(others) for other in others]


def contrast(z, targets=TARGETS, anchors=ANCHORS):
    return asymmetric_contrast(z, torch.tensor(targets), torch.tensor(anchors))


def test_the_temperatures_are_those_that_were_published():
    assert (CONTRAST, CURRENT, PAST) == (0.5, 0.2, 0.01)


@pytest.mark.parametrize("anchors", [ANCHORS, [True] * 8, [False] * 7 + [True]])
def test_contrast_is_the_formula(anchors):
    z = directions("contrast")
    expected = contrast_by_hand(z.tolist(), TARGETS, anchors)
    assert float(contrast(z, anchors=anchors)) == pytest.approx(expected, rel=1e-12)


def test_one_image_has_no_other_to_be_told_apart_from():
    assert float(contrast(directions("pair", 2), [1, 1], [True, True])) == 0


def test_the_gradients_are_those_of_the_losses():
    z = directions("gradient").requires_grad_()
    past = directions("past")
    assert torch.autograd.gradcheck(contrast, (z,))
    assert torch.autograd.gradcheck(lambda z: relation_distillation(z, past), (z,))


def test_the_past_is_no_anchor_but_stands_in_the_denominator():
    z = directions("asymmetry")
    with_past = float(contrast(z))
    again = z.clone()
    again[1], again[5] = -z[1], z[2]
    assert float(contrast(again)) != pytest.approx(with_past, rel=1e-3)
    # Its class is nobody's business: renamed, and even unlike its own second view, it is still only a negative.
    renamed = [2, 0, 2, 3, 2, 7, 2, 3]
    assert float(contrast(z, renamed)) == with_past
    assert float(contrast(z, renamed, [True] * 4 + [True, False, True, True])) != pytest.approx(with_past, rel=1e-3)


def test_relations_that_are_kept_cost_nothing_and_others_do():
    z = directions("kept")
    assert float(relation_distillation(z, z, PAST)) == 0
    turned = z @ torch.linalg.qr(directions("turn", 3, 3))[0]  # the same similarities in another frame
    assert float(relation_distillation(turned, z, PAST)) == pytest.approx(0, abs=1e-9)
    assert float(relation_distillation(z, z)) > 0.1  # another temperature asks for sharper relations
    assert float(relation_distillation(directions("moved"), z, PAST)) > 1


def test_distillation_is_the_formula():
    now, past = directions("now"), directions("then")
    expected = 0.0
    for i in range(8):
        p, q = relations(past.tolist(), i, 0.01), relations(now.tolist(), i, 0.2)
        expected += sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q) if a > 0) / 8
    assert float(relation_distillation(now, past)) == pytest.approx(expected, rel=1e-10)


def test_distillation_teaches_todays_projections_only():
    now, past = directions("now").requires_grad_(), directions("then").requires_grad_()
    relation_distillation(now, past.detach()).backward()
    assert past.grad is None
    assert float(now.grad.abs().max()) > 0


def test_an_answer_is_the_class_of_the_nearest_other_image_that_competes():
    z = F.normalize(torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.8, 0.3], [1.0, 0.001]]))
    targets, images = torch.tensor([0, 2, 1, 0]), torch.tensor([0, 1, 2, 0])  # the last is the first's second view
    everything, own = torch.ones(3, 3, dtype=torch.bool), torch.zeros(3, 3, dtype=torch.bool)
    own[:2, :2] = own[2, 2] = True
    assert nearest_class(z, targets, images, everything)[0].tolist() == [0, 0, 1]
    assert nearest_class(z, targets, images, own)[0].tolist() == [0, 1, 0]
