"""Two layers of ReLU, small enough for the whole Hessian: the same function at other weights, and what changes.

f(x) = sum_k w2_k relu(w1_k x + b1_k), fitted to points on a line. With a factor c_k > 0 for each neuron, w1_k and b1_k
times c_k and w2_k / c_k give the same function (Dinh et al. 2017, "Sharp minima can generalize for deep nets").
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

NEURONS, POINTS, SEED = 10, 40, 4
FACTORS = 2.0 ** (np.arange(-12, 13) / 4)  # 1/8 to 8, four steps a doubling
ONE = len(FACTORS) // 2  # where the factor is 1
MEASURES = ("lambda_max", "relative", "layerwise", "elementwise")


@dataclass(frozen=True)
class TwoLayers:
    """The network and its data: weights (h,) each, x and y (n,)."""

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    x: np.ndarray
    y: np.ndarray

    @property
    def theta(self) -> np.ndarray:
        """All weights, (3h,): w1, b1, w2."""
        return np.concatenate([self.w1, self.b1, self.w2])

    def at(self, theta: np.ndarray) -> "TwoLayers":
        """The same network at other weights (3h,)."""
        w1, b1, w2 = np.split(theta, 3)
        return replace(self, w1=w1, b1=b1, w2=w2)

    def rescaled(self, factors: np.ndarray | float) -> "TwoLayers":
        """First layer times `factors`, (h,) or one for all; second layer divided by them."""
        return replace(self, w1=self.w1 * factors, b1=self.b1 * factors, w2=self.w2 / factors)

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """f(x), (n,)."""
        return np.asarray(np.maximum(np.outer(x, self.w1) + self.b1, 0) @ self.w2)

    @property
    def loss(self) -> float:
        """Half of the mean squared error."""
        return float(np.mean((self.outputs(self.x) - self.y) ** 2) / 2)


def jacobian(net: TwoLayers) -> np.ndarray:
    """Derivatives of the outputs, (n, 3h)."""
    inner = np.outer(net.x, net.w1) + net.b1
    on = (inner > 0) * net.w2
    return np.concatenate([on * net.x[:, None], on, np.maximum(inner, 0)], axis=1)


def hessian(net: TwoLayers) -> np.ndarray:
    """The exact Hessian of the loss (3h, 3h), where no point lies on a kink.

    J'J / n, and the residuals times the outputs' own second derivatives: those of a neuron's w2 with its w1 (x where
    it is on) and with its b1 (1 where it is on); all others are zero.
    """
    n, h = len(net.x), len(net.w1)
    j = jacobian(net)
    full = j.T @ j / n
    residual = (net.outputs(net.x) - net.y)[:, None]
    on = np.outer(net.x, net.w1) + net.b1 > 0
    for place, mixed in ((0, residual * on * net.x[:, None]), (h, residual * on)):
        rows, columns = place + np.arange(h), 2 * h + np.arange(h)
        full[rows, columns] += mixed.mean(axis=0)
        full[columns, rows] += mixed.mean(axis=0)
    return full


def measures(net: TwoLayers) -> dict[str, float]:
    """Four measures of sharpness.

    `lambda_max`: of the Hessian H. `relative`: times |theta|^2 of all weights. `layerwise`: the larger of the layers'
    own lambda_max(H_l) |theta_l|^2, which one factor for a layer cannot change. `elementwise`: lambda_max of H scaled
    by |theta| on both sides (as in Kwon et al. 2021), which no factor of a neuron can change.
    """
    h, theta = hessian(net), net.theta
    first = 2 * len(net.w1)
    layers = [(h[part, part], theta[part]) for part in (slice(0, first), slice(first, None))]
    size = np.abs(theta)
    return {
        "lambda_max": top(h),
        "relative": top(h) * float(theta @ theta),
        "layerwise": max(top(block) * float(weights @ weights) for block, weights in layers),
        "elementwise": top(h * np.outer(size, size)),
    }


def top(symmetric: np.ndarray) -> float:
    """The largest eigenvalue."""
    return float(np.linalg.eigvalsh(symmetric)[-1])


def loss_of_half(net: TwoLayers) -> float:
    """The loss once the smaller half of the weights w1 and w2, by size over both layers, is cut."""
    h = len(net.w1)
    size = np.abs(net.theta)
    cut = np.argsort(np.concatenate([size[:h], size[2 * h :]]))[:h]
    theta = net.theta
    theta[np.where(cut < h, cut, cut + h)] = 0.0
    return net.at(theta).loss


@lru_cache
def fitted(seed: int = SEED) -> TwoLayers:
    """The network at a minimum: drawn from the seed, then fitted by Levenberg and Marquardt's method."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(-2, 2, POINTS))
    y = np.sin(2.2 * x) + 0.3 * x + rng.normal(0, 0.05, POINTS)
    kinks = np.linspace(-2.2, 1.8, NEURONS) + rng.uniform(-0.1, 0.1, NEURONS)
    w1 = rng.uniform(0.8, 1.6, NEURONS) * np.where(np.arange(NEURONS) % 3 == 2, -1, 1)
    net = TwoLayers(w1, -w1 * kinks, rng.normal(0, 0.3, NEURONS), x, y)
    damping = 1e-2
    for _ in range(60):
        j, residual = jacobian(net), net.outputs(x) - y
        step = np.linalg.solve(j.T @ j / POINTS + damping * np.eye(3 * NEURONS), j.T @ residual / POINTS)
        tried = net.at(net.theta - step)
        better = tried.loss < net.loss
        net, damping = (tried, damping / 3) if better else (net, damping * 4)
        damping = max(damping, 1e-6)
    return net


def spread(mode: str) -> np.ndarray:
    """The power of the factor that each neuron gets, (h,): the same for all, or each neuron its own."""
    return np.ones(NEURONS) if mode == "layer" else np.linspace(-1, 1, NEURONS)


@dataclass(frozen=True)
class Sweep:
    """What each of FACTORS makes of the network: arrays of length f, or (f, ...)."""

    nets: tuple[TwoLayers, ...]
    measures: Mapping[str, np.ndarray]  # name -> (f,)
    loss: np.ndarray
    apart: np.ndarray  # largest difference of the outputs on the data to those at factor 1
    halved: np.ndarray  # the loss once half of the weights is cut by size
    steps: np.ndarray  # (s,) along the sharpest direction, weight units
    along: np.ndarray  # (f, s) the loss there


@lru_cache
def sweep(mode: str = "layer") -> Sweep:
    """The fitted network at every factor; `mode`: "layer", one factor for all neurons, or "neuron"."""
    net = fitted()
    nets = tuple(net.rescaled(factor ** spread(mode)) for factor in FACTORS)
    found = [measures(one) for one in nets]
    steps = np.linspace(-0.2, 0.2, 41)
    return Sweep(
        nets=nets,
        measures={name: np.array([one[name] for one in found]) for name in MEASURES},
        loss=np.array([one.loss for one in nets]),
        apart=np.array([np.abs(one.outputs(net.x) - net.outputs(net.x)).max() for one in nets]),
        halved=np.array([loss_of_half(one) for one in nets]),
        steps=steps,
        along=np.array([_along(one, steps) for one in nets]),
    )


def _along(net: TwoLayers, steps: np.ndarray) -> np.ndarray:
    direction = np.linalg.eigh(hessian(net))[1][:, -1]
    w1, b1, w2 = np.split(net.theta[:, None] + direction[:, None] * steps, 3)  # (h, s) each
    inner = np.maximum(net.x[:, None, None] * w1 + b1, 0)  # (n, h, s)
    return np.asarray(((np.einsum("nhs,hs->ns", inner, w2) - net.y[:, None]) ** 2).mean(axis=0) / 2)
