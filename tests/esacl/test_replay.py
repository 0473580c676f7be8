"""What enters the loss of a rehearsing step, against the formulas written out."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from tiny_runs import tiny

from esacl.buffer import Buffer
from esacl.criterion import criterion
from esacl.replay import DRAWS, Batch, log_prior, loss_of
from esacl.stages import Stage
from esacl.tasks import Examples

CPU = torch.device("cpu")


def stage_in(scenario: str) -> Stage:
    tasks = [(0, 1), (2, 3)]
    empty = Examples(torch.zeros(0), torch.zeros(0))
    return Stage(1, empty, criterion(scenario, tasks, 6, CPU), criterion(scenario, tasks[1:], 6, CPU))


def batch_of(fresh: int, *, dark: bool) -> tuple[torch.Tensor, Batch]:
    torch.manual_seed(0)
    n = fresh * (3 if dark else 2)
    targets = torch.cat([torch.randint(2, 4, (fresh,)), torch.randint(0, 2, (n - fresh,))])
    return torch.randn(n, 6), Batch(torch.zeros(n, 1), targets, fresh, torch.randn(fresh, 6) if dark else None)


def test_without_masking_it_is_the_mean_over_all():
    outputs, batch = batch_of(5, dark=False)
    expected = F.cross_entropy(outputs[:, :4], batch.targets)
    torch.testing.assert_close(loss_of(tiny(scenario="class"), stage_in("class"), outputs, batch), expected)


def test_masked_logits_let_fresh_examples_compete_among_todays_classes_only():
    outputs, batch = batch_of(5, dark=False)
    fresh = F.cross_entropy(outputs[:5, 2:4], batch.targets[:5] - 2, reduction="sum")
    old = F.cross_entropy(outputs[5:, :4], batch.targets[5:], reduction="sum")
    found = loss_of(tiny(scenario="class", mask_logits=True), stage_in("class"), outputs, batch)
    torch.testing.assert_close(found, (fresh + old) / 10)


@pytest.mark.parametrize("scenario", ["task", "class"])
def test_der_has_three_terms(scenario):
    config = tiny({"derpp.alpha": 0.3, "derpp.beta": 0.7}, method="derpp", scenario=scenario)
    outputs, batch = batch_of(4, dark=True)
    open_to = {"task": lambda y: [0, 1] if y < 2 else [2, 3], "class": lambda y: [0, 1, 2, 3]}[scenario]

    def entropy(rows):
        return sum(
            -float(outputs[i, open_to(int(batch.targets[i]))].log_softmax(0)[open_to(int(batch.targets[i])).index(
                int(batch.targets[i])
            )])
            for i in rows
        ) / 4  # fmt: skip

    columns = [0, 1] if scenario == "task" else list(range(6))
    apart = float((outputs[4:8, columns] - batch.logits[:, columns]).square().mean())
    expected = entropy(range(4)) + 0.3 * apart + 0.7 * entropy(range(8, 12))
    assert float(loss_of(config, stage_in(scenario), outputs, batch)) == pytest.approx(expected, rel=1e-5)


def test_draws_are_as_many_as_are_fresh_and_der_draws_twice():
    buffer = Buffer(50, 0)
    numbers = torch.arange(50)
    buffer.offer(numbers.float().view(-1, 1), numbers, numbers.view(-1, 1).repeat(1, 6).float())
    fresh = torch.full((8, 1), -1.0), torch.full((8,), -1)
    for name, parts in (("plain", 2), ("dark", 3)):
        batch = DRAWS[name](*fresh, buffer, torch.Generator().manual_seed(0))
        assert (len(batch), batch.fresh) == (8 * parts, 8)
        assert batch.targets[:8].eq(-1).all()
        assert batch.inputs[8:, 0].equal(batch.targets[8:].float())
    assert batch.logits[:, 0].equal(batch.targets[8:16].float())
    assert not batch.targets[8:16].equal(batch.targets[16:])


def test_the_prior_is_what_a_step_learns_from_by_hand():
    """Today 4 + 2 images of classes 2 and 3; kept: 3, 1 and 1 of the classes 0, 2 and 3."""
    buffer = Buffer(5, 0)
    kept = torch.tensor([0, 0, 0, 2, 3])
    buffer.offer(torch.zeros(5, 1, 2, 2), kept, torch.zeros(5, 6))
    today = Examples(torch.zeros(6, 1, 2, 2), torch.tensor([2, 2, 2, 2, 3, 3]))
    stage = replace(stage_in("class"), examples=today)
    for strength in (1.0, 0.01):  # what is not seen is closed, however weakly the rest is balanced
        alone = log_prior(tiny(scenario="class", balance_logits=strength), stage, Buffer(5, 0), 5).exp()
        torch.testing.assert_close(alone, torch.tensor([0, 0, 4 / 6, 2 / 6, 0, 0]) ** strength)
    config = tiny({"buffer.size": 5, "buffer.rehearsal": "plain"}, scenario="class", balance_logits=1.0)
    plain = log_prior(config, stage, buffer, 5).exp()
    torch.testing.assert_close(plain[:4], torch.tensor([0.3, 0.0, 4 / 12 + 0.1, 2 / 12 + 0.1]), atol=1e-6, rtol=0)
    more = log_prior(config, stage, buffer, 10).exp()  # ten fresh examples, and no more than five beside them
    torch.testing.assert_close(more[:1], torch.tensor([0.2]))
    settings = {"buffer.size": 5, "buffer.rehearsal": "dark", "derpp.beta": 0.25}
    dark = log_prior(tiny(settings, scenario="class", balance_logits=1.0), stage, buffer, 5).exp()
    twice = log_prior(tiny(settings, scenario="class", balance_logits=2.0), stage, buffer, 5).exp()
    torch.testing.assert_close(twice, dark.square())
    expected = [0.25 * 0.6 / 1.25, 0.0, (4 / 6 + 0.25 * 0.2) / 1.25, (2 / 6 + 0.25 * 0.2) / 1.25]
    torch.testing.assert_close(dark[:4], torch.tensor(expected), atol=1e-6, rtol=0)


def test_a_prior_enters_the_cross_entropies_and_not_the_distance_of_logits():
    config = tiny({"derpp.alpha": 0.3, "derpp.beta": 0.7}, method="derpp", scenario="class", balance_logits=1.0)
    outputs, batch = batch_of(4, dark=True)
    prior = torch.tensor([0.1, 0.2, 0.3, 0.4, 1e-9, 1e-9]).log()

    def entropy(rows):
        weighed = prior.exp()[:4] * outputs[rows, :4].exp()
        own = weighed[torch.arange(4), batch.targets[rows]]
        return -(own / weighed.sum(1)).log().mean()

    apart = (outputs[4:8] - batch.logits).square().mean()
    expected = entropy(slice(0, 4)) + 0.3 * apart + 0.7 * entropy(slice(8, 12))
    found = loss_of(config, stage_in("class"), outputs, replace(batch, prior=prior))
    torch.testing.assert_close(found, expected)


def test_fewer_of_a_batch_keep_its_prior():
    _, batch = batch_of(5, dark=False)
    some = replace(batch, prior=torch.zeros(6)).take(torch.tensor([0, 2]), torch.tensor([1]))
    assert some.prior is not None
    assert len(some) == 3
