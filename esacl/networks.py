"""Networks: a body that makes features and a linear head; which of their parameters may be pruned."""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from esacl import batchnorm, resnet
from esacl.config import RunConfig
from esacl.seeds import torch_generator
from esacl.tasks import TaskStream

_HEAD = ("head.weight", "head.bias")
_MLP_WIDTHS = {"split-digits": (100, 100)}
_MLP_WIDTH_ELSEWHERE = (400, 400)
_CNN_CHANNELS = (32, 64, 128)
_CNN_WIDTH = 128
RECTIFIED = math.sqrt(2)  # gain of a weight that a rectifier follows (He et al. 2015, equation 10)
PIECE = 256  # examples of which features are made at once: an image of 32x32 takes a megabyte in ResNet-18
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "softplus": nn.Softplus}


class Network(nn.Module):
    """Inputs (n, c, h, w) -> logits (n, outputs), through features (n, f).

    The head has one row a column of the stream. In task-IL the loss of a task looks at its columns only, so
    that the rows of `head.weight` and `head.bias` are its private head. Twice differentiable wherever its
    activation is: no dropout, nothing in place, and BatchNorm normalises by its running statistics but for the
    forward pass of a training step (`esacl.batchnorm`).
    """

    def __init__(self, body: nn.Sequential, width: int, outputs: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(width, outputs)

    def features(self, inputs: Tensor) -> Tensor:
        """What the head sees: (n, c, h, w) -> (n, f)."""
        return cast(Tensor, self.body(inputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, outputs)."""
        return cast(Tensor, self.head(self.features(inputs)))


def mlp(stream: TaskStream, activation: str) -> Network:
    """Two hidden layers: 100-100 on split-digits, 400-400 elsewhere. It flattens its input."""
    parts: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    inside = math.prod(stream.input_shape)
    for number, width in enumerate(_MLP_WIDTHS.get(stream.name, _MLP_WIDTH_ELSEWHERE), start=1):
        parts[f"hidden{number}"] = nn.Linear(inside, width)
        parts[f"activation{number}"] = _ACTIVATIONS[activation]()
        inside = width
    return Network(nn.Sequential(parts), inside, stream.outputs)


def small_cnn(stream: TaskStream, activation: str) -> Network:
    """Three 3x3 convolutions (32, 64, 128), each halved by max-pooling, and one hidden layer of 128.

    356,810 parameters for ten classes of 3x32x32; the smallest input is 8x8.
    """
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    inside, height, width = stream.input_shape
    for number, channels in enumerate(_CNN_CHANNELS, start=1):
        parts[f"conv{number}"] = nn.Conv2d(inside, channels, kernel_size=3, padding=1)
        parts[f"activation{number}"] = _ACTIVATIONS[activation]()
        parts[f"pool{number}"] = nn.MaxPool2d(2)
        inside, height, width = channels, height // 2, width // 2
    parts["flatten"] = nn.Flatten()
    parts["hidden"] = nn.Linear(inside * height * width, _CNN_WIDTH)
    parts["activation"] = _ACTIVATIONS[activation]()
    return Network(nn.Sequential(parts), _CNN_WIDTH, stream.outputs)


def resnet18(stream: TaskStream, activation: str, width: int = resnet.WIDTH) -> Network:
    """ResNet-18 with a 3x3 stem: 11,173,962 parameters for ten classes of 3x32x32. A narrow one is for tests."""
    body = resnet.body(stream.input_shape[0], _ACTIVATIONS[activation], width)
    return Network(body, resnet.STAGES[-1][0] * width, stream.outputs)


NETWORKS: dict[str, Callable[[TaskStream, str], Network]] = {
    "mlp": mlp, "small-cnn": small_cnn, "resnet18": resnet18,
}  # fmt: skip


def build(config: RunConfig, stream: TaskStream) -> Network:
    """The network of a run on the CPU in evaluation mode, initialised from `config.seed` alone.

    Weights are uniform with variance 2 / fan_in (He et al. 2015, equation 10), in the head 1 / fan_in
    because no rectifier follows it; biases are zero. BatchNorm begins as the identity: weight 1, bias 0, running mean
    0 and variance 1. torch's global random state is left as it was.
    """
    with torch.device("meta"):  # allocates nothing and draws nothing
        network = NETWORKS[config.network](stream, config.activation)
    network = network.to_empty(device="cpu")
    generator = torch_generator(config.seed, "network")
    for name, parameter in network.named_parameters():
        if parameter.ndim < 2:
            nn.init.zeros_(parameter)
        else:
            draw(parameter, 1.0 if name in _HEAD else RECTIFIED, generator)
    for layer in batchnorm.layers(network):
        layer.reset_parameters()  # its buffers too: what `to_empty` leaves in them is anything
    return network.eval()


def draw(weight: Tensor, gain: float, generator: torch.Generator) -> None:
    """Fill a weight (out, in, ...) on the CPU with a uniform variable of variance gain^2 / fan_in."""
    bound = gain * math.sqrt(3 / weight[0].numel())
    nn.init.uniform_(weight, -bound, bound, generator=generator)


def placed(network: Network, config: RunConfig, device: torch.device) -> Network:
    """The network on its device, laid out as that computes fastest; the numbers in it are the same.

    On a CPU the small CNN with its channels last trained 1.35 and evaluated 1.8 times as fast (AMD EPYC, one thread,
    n = 2). ResNet-18 stays as it is: so laid out, torch 2.13 aborts in its backward pass.
    """
    moved = network.to(device)
    if config.network == "small-cnn" and device.type == "cpu":
        moved.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # its stubs leave modules out
    return moved


def features(network: nn.Module, inputs: Tensor) -> Tensor:
    """What the head of `network` sees: (n, c, h, w) -> (n, f); in pieces: a whole task fills a memory."""
    return torch.cat([cast(Network, network).features(part) for part in inputs.split(PIECE)])


def with_features(network: "Network", inputs: Tensor) -> tuple[Tensor, Tensor]:
    """What the head sees (n, f), and its outputs (n, c)."""
    seen = network.features(inputs)
    return seen, network.head(seen)


def prunable_names(network: nn.Module, scenario: str) -> tuple[str, ...]:
    """The weights that pruning may remove: all but biases, BatchNorm and private heads, in the network's order."""
    private = private_names(network, scenario)
    return tuple(name for name, p in network.named_parameters() if p.ndim >= 2 and name not in private)


def prunable_in(config: RunConfig, network: nn.Module) -> tuple[str, ...]:
    """The weights that the mask of a run is about.

    Under Co2L the head is none of them in any scenario: no gradient reaches it while the mask is chosen.
    """
    return prunable_names(network, "task" if config.contrastive else config.scenario)


def private_names(network: nn.Module, scenario: str) -> tuple[str, ...]:
    """The parameters whose rows belong to one task each: the head in task-IL, else none."""
    return tuple(name for name, _ in network.named_parameters() if name in _HEAD and scenario == "task")
