"""When choosing the instances of a training step pays: arithmetic, for the gate that decides and for its figure."""

MARGIN = 0.7
"""Of `break_even`: the ratio is an estimate by a proxy. On MNIST it is .27 of a quarter and .50 of a half, hardly above
the least that there is; on CIFAR-10 it is .56 of a half at first, where a gate that opened by .9 gained nothing."""

BACKWARD_TO_FORWARD = 2.0  # FLOPs of an example's backward pass in those of its forward pass, where nothing is known


def break_even(fraction: float, backward_to_forward: float) -> float:
    """The ratio of second moments below which choosing has the smaller variance, at the same FLOPs.

    Chosen are f n of n examples, all of which went forward; at random n (1 + b f) / (1 + b) go forth and back, with
    b the FLOPs of a backward pass in those of a forward pass.
    """
    return fraction * (1 + backward_to_forward) / (1 + backward_to_forward * fraction)


def opens_below(fraction: float, backward_to_forward: float) -> float:
    """The ratio below which the gate opens."""
    return MARGIN * break_even(fraction, backward_to_forward)
