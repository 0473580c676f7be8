"""Co2L's two losses on the projections of a batch of views (Cha, Lee and Shin 2021, Contrastive Continual Learning)."""

import torch
import torch.nn.functional as F
from torch import Tensor

# As published for its experiments.
CONTRAST = 0.5  # temperature tau of the contrastive loss
CURRENT, PAST = 0.2, 0.01  # temperatures kappa of the relations: of the network that learns, of the one that was
DISTILLATION = 1.0  # lambda: of the distillation beside the contrastive loss


def asymmetric_contrast(projections: Tensor, targets: Tensor, anchors: Tensor) -> Tensor:
    """Asymmetric supervised contrastive loss ().

    The mean over the anchors i of

        -1/|P(i)| sum over j in P(i) of log( exp(z_i z_j / tau) / sum over k != i of exp(z_i z_k / tau) ).

    P(i) are the other projections of i's class. Only projections of the current task are anchors; those of the past
    are what anchors are told apart from, and in domain-IL what they are drawn to. Supervised contrast is that of Khosla
    et al. 2020. The published code multiplies by tau / 0.07, which is a matter of the learning rate.

    Args:
        projections: z (m, d) of length 1; m >= 2.
        targets: (m,).
        anchors: (m,) bool, of which at least one is set; each has another projection of its class.
    """
    logits = _others(projections @ projections.T / CONTRAST)
    positives = _others(targets[:, None] == targets)
    per_anchor = -(logits.log_softmax(1) * positives).sum(1) / positives.sum(1).clamp(min=1)
    return per_anchor[anchors].mean()


def relation_distillation(projections: Tensor, past: Tensor, current_temperature: float = CURRENT) -> Tensor:
    """Instance-wise relation distillation (): how far the similarities of a batch have moved since the last task.

    Mean over rows of KL(p || q), where row i of p is the softmax over k != i of past_i past_k / 0.01, and q the same of
    today's projections at their own temperature. Published is the cross-entropy of p and q: the same gradient, but
    above zero where nothing has moved.

    Args:
        projections: z (m, d) of length 1; m >= 2.
        past: (m, d'), those of the frozen network.
        current_temperature: kappa of `projections`.
    """
    now = _others(projections @ projections.T / current_temperature).log_softmax(1)
    then = _others(past @ past.T / PAST).log_softmax(1)
    return F.kl_div(now, then, reduction="batchmean", log_target=True)


@torch.no_grad()
def nearest_class(projections: Tensor, targets: Tensor, images: Tensor, open_: Tensor) -> Tensor:
    """The class of each projection's nearest neighbour among other images, as one-hot rows (m, c).

    What stands for an answer while there is no classifier. Neighbours are of the classes that the target may be
    mistaken among; where a batch has none, the answer is that of its first image.

    Args:
        projections: (m, d) of length 1.
        targets: (m,).
        images: (m,), which image each is a view of.
        open_: (c, c) bool, `Criterion.open`.
    """
    eligible = open_[targets][:, targets] & (images[:, None] != images)
    similar = (projections @ projections.T).masked_fill(~eligible, -2.0)  # below any cosine
    return F.one_hot(targets[similar.argmax(1)], len(open_)).to(projections)


def _others(square: Tensor) -> Tensor:
    """A matrix (m, m) without its diagonal, (m, m - 1)."""
    m = len(square)
    return square.flatten()[1:].view(m - 1, m + 1)[:, :-1].reshape(m, m - 1)
