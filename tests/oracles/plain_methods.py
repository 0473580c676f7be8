"""ER, DER++ and online EWC as plain loops, written from the papers; no training code of the library is used.

Data, first weights, the order of tasks and images and the random numbers of the memory are the library's (`numbers`, a
generator for a purpose), so that both meet the same batches; everything else is its own: schedule, reservoir, losses,
Fisher information, anchors, accuracy.
"""

import copy

import torch
import torch.nn.functional as F


def rate(step, steps, peak):
    """20 steps of warm-up (a fifth of a short task), constant, linear decay over the last 40%."""
    warm = min(20, max(1, steps // 5))
    return peak * min(1, (step + 1) / warm) * min(1, (steps - step) / (0.4 * steps))


class Reservoir:
    def __init__(self, size, numbers):
        self.size, self.seen, self.rows, self.numbers = size, 0, [], numbers

    def offer(self, *columns):
        generator = self.numbers("buffer", self.seen)
        for row in zip(*columns):
            if len(self.rows) < self.size:
                self.rows.append(row)
            else:
                place = int(torch.randint(0, self.seen + 1, (1,), generator=generator))
                if place < self.size:
                    self.rows[place] = row
            self.seen += 1

    def draw(self, count, generator):
        chosen = torch.randperm(len(self.rows), generator=generator)[:count].tolist()
        return [torch.stack(column) for column in zip(*(self.rows[i] for i in chosen))]


def accuracies(network, stream, tasks, scenario):
    """On each of the first `tasks` tasks."""
    seen = sorted({c for t in stream[:tasks] for c in t.classes})
    found = []
    for task in stream[:tasks]:
        columns = torch.tensor(list(task.classes) if scenario == "task" else seen)
        with torch.no_grad():
            answers = columns[network(task.evaluation.inputs)[:, columns].argmax(1)]
        found.append(float((answers == task.evaluation.targets).double().mean()))
    return found


def entropy(outputs, targets, columns):
    places = {c: i for i, c in enumerate(columns)}
    return F.cross_entropy(outputs[:, columns], torch.tensor([places[int(y)] for y in targets]))


def own_entropy(outputs, targets, stream):
    """Task-IL, one example after the other: each among the classes of its own task."""
    home = {c: list(task.classes) for task in stream for c in task.classes}
    each = [entropy(outputs[i : i + 1], targets[i : i + 1], home[int(y)]) for i, y in enumerate(targets)]
    return torch.stack(each).mean()


def own_distance(outputs, logits, targets, stream):
    """Mean squared distance of the logits of each example's own head."""
    home = {c: list(task.classes) for task in stream for c in task.classes}
    apart = [(outputs[i, home[int(y)]] - logits[i, home[int(y)]]).square() for i, y in enumerate(targets)]
    return torch.cat(apart).mean()


def replayed_in_task_il(network, stream, *, epochs, batch, peak, size, numbers, alpha=None, beta=None):
    """ER (alpha None) or DER++ in task-IL; the average accuracy after the last task."""
    network, buffer = copy.deepcopy(network), Reservoir(size, numbers)
    for number, task in enumerate(stream):
        inputs, targets = task.train.inputs, task.train.targets
        optimiser = torch.optim.SGD(network.parameters(), lr=peak, momentum=0.9)
        steps, step = epochs * -(-len(inputs) // batch), 0
        for epoch in range(epochs):
            for rows in torch.randperm(len(inputs), generator=numbers("batches", number, epoch)).split(batch):
                optimiser.param_groups[0]["lr"] = rate(step, steps, peak)
                x, y = inputs[rows], targets[rows]
                outputs, generator = network(x), numbers("step", number, step)
                loss = own_entropy(outputs, y, stream)
                if buffer.rows and alpha is None:
                    old = buffer.draw(len(rows), generator)
                    again = own_entropy(network(old[0]), old[1], stream)
                    loss = (len(y) * loss + len(old[1]) * again) / (len(y) + len(old[1]))
                elif buffer.rows:
                    one, two = buffer.draw(len(rows), generator), buffer.draw(len(rows), generator)
                    loss = loss + alpha * own_distance(network(one[0]), one[2], one[1], stream)
                    loss = loss + beta * own_entropy(network(two[0]), two[1], stream)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                buffer.offer(x, y, outputs.detach())
                step += 1
    found = accuracies(network, stream, len(stream), "task")
    return sum(found) / len(found)


def replayed(network, stream, *, epochs, batch, peak, size, numbers, alpha=None, beta=None):
    """ER (alpha None) or DER++ in class-IL; the average accuracy after the last task."""
    network, buffer = copy.deepcopy(network), Reservoir(size, numbers)
    for t, task in enumerate(stream):
        seen = sorted({c for one in stream[: t + 1] for c in one.classes})
        inputs, targets = task.train.inputs, task.train.targets
        optimiser = torch.optim.SGD(network.parameters(), lr=peak, momentum=0.9)
        steps, step = epochs * -(-len(inputs) // batch), 0
        for epoch in range(epochs):
            for rows in torch.randperm(len(inputs), generator=numbers("batches", t, epoch)).split(batch):
                optimiser.param_groups[0]["lr"] = rate(step, steps, peak)
                x, y = inputs[rows], targets[rows]
                outputs, generator = network(x), numbers("step", t, step)
                if not buffer.rows:
                    loss = entropy(outputs, y, seen)
                elif alpha is None:
                    old = buffer.draw(len(rows), generator)
                    loss = entropy(torch.cat([outputs, network(old[0])]), torch.cat([y, old[1]]), seen)
                else:
                    one, two = buffer.draw(len(rows), generator), buffer.draw(len(rows), generator)
                    loss = entropy(outputs, y, seen) + alpha * F.mse_loss(network(one[0]), one[2])
                    loss = loss + beta * entropy(network(two[0]), two[1], seen)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                buffer.offer(x, y, outputs.detach())
                step += 1
    found = accuracies(network, stream, len(stream), "class")
    return sum(found) / len(found)


def ewc(network, stream, *, epochs, batch, peak, strength, numbers, momentum=0.9, in_the_loss=False):
    """Online EWC in task-IL; the average accuracy after the last task.

    The penalty is taken as a proximal step after the optimiser's, or `in_the_loss` as the paper writes it, for
    autograd to derive. With momentum the two are not the same method: momentum makes of a pull in the loss one ten
    times as strong. EsaCL states a strength for a momentum of 0.9, so that in a loss without it a tenth is the same.
    """
    network = copy.deepcopy(network)
    shared = {n: p for n, p in network.named_parameters() if not n.startswith("head")}
    omega = {n: torch.zeros_like(p) for n, p in shared.items()}
    centre = {n: p.detach().clone() for n, p in shared.items()}
    for number, task in enumerate(stream):
        columns = list(task.classes)
        inputs, targets = task.train.inputs, task.train.targets
        optimiser = torch.optim.SGD(network.parameters(), lr=peak, momentum=momentum)
        steps, step = epochs * -(-len(inputs) // batch), 0
        for epoch in range(epochs):
            for rows in torch.randperm(len(inputs), generator=numbers("batches", number, epoch)).split(batch):
                lr = optimiser.param_groups[0]["lr"] = rate(step, steps, peak)
                optimiser.zero_grad()
                loss = entropy(network(inputs[rows]), targets[rows], columns)
                if in_the_loss:
                    loss = loss + strength / 2 * sum((omega[n] * (p - centre[n]) ** 2).sum() for n, p in shared.items())
                loss.backward()
                optimiser.step()
                with torch.no_grad():
                    for n, p in shared.items() if not in_the_loss else ():
                        q = lr * strength * omega[n]
                        p.copy_((p + q * centre[n]) / (1 + q))
                step += 1
        fisher = _fisher(network, shared, inputs, columns)
        mean = sum(float(f.sum()) for f in fisher.values()) / sum(f.numel() for f in fisher.values())
        for n, p in shared.items():
            omega[n] += fisher[n] / mean
            centre[n] = p.detach().clone()
    found = accuracies(network, stream, len(stream), "task")
    return sum(found) / len(found)


def _fisher(network, shared, inputs, columns):
    """The diagonal, example by example and label by label."""
    total = {n: torch.zeros_like(p) for n, p in shared.items()}
    for image in inputs:
        logs = network(image[None])[0, columns].log_softmax(0)
        for log in logs:
            parts = torch.autograd.grad(log, list(shared.values()), retain_graph=True)
            for n, g in zip(shared, parts):
                total[n] += float(log.detach().exp()) * g.square() / len(inputs)
    return total
