import copy
import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from oracles.exact_hessian import exact_hessian, hessian_of, random_mask, small_cnn, small_data, small_network
from torch import nn

import esacl.curvature.objective as objective_module
from esacl.curvature import hessian
from esacl.errors import InputError
from esacl.mask import Mask


def matrix_of(operator):
    columns = torch.eye(operator.shape[0], dtype=operator.dtype)
    return torch.stack([operator @ column for column in columns], dim=1)


def weighted(outputs, targets, weights):
    return (weights * F.cross_entropy(outputs, targets, reduction="none")).mean()


@pytest.mark.parametrize("activation", [nn.Softplus, nn.ReLU, nn.Tanh])
@pytest.mark.parametrize("build", [small_network, small_cnn])
def test_every_entry_is_that_of_the_exact_hessian(build, activation):
    network, data = build(activation), small_data()
    expected = exact_hessian(network, F.cross_entropy, data)
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(matrix_of(hessian(network, F.cross_entropy, data)), expected)


def test_chunks_and_batches_give_the_hessian_of_the_whole():
    network, (x, y) = small_network(), small_data(examples=23)
    expected = exact_hessian(network, F.cross_entropy, (x, y))
    batches = [(x[:10], y[:10]), (x[10:13], y[10:13]), (x[13:], y[13:])]
    for operator in (
        hessian(network, F.cross_entropy, (x, y), chunk=7),
        hessian(network, F.cross_entropy, batches),
        hessian(network, F.cross_entropy, batches, chunk=4),
        hessian(network, F.cross_entropy, iter(batches)),
        hessian(network, F.cross_entropy, [[x[:10], y[:10]], [x[10:], y[10:]]]),
        hessian(network, F.cross_entropy, [x, y]),
    ):
        torch.testing.assert_close(matrix_of(operator), expected)
    # Batches of one shape are joined, so that their graph can be kept.
    assert len(objective_module.Objective(network, F.cross_entropy, batches).batches) == 1


def test_batches_that_cannot_be_joined_still_add_up():
    """Sequences of two lengths under a network that averages over the length."""

    class Averages(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 3)

        def forward(self, inputs):
            return self.head(inputs.mean(1))

    network = Averages().double()
    short, long = torch.randn(5, 2, 4).double(), torch.randn(3, 6, 4).double()
    y = torch.randint(0, 3, (8,))
    joined = torch.cat([short.mean(1, keepdim=True), long.mean(1, keepdim=True)])
    operator = hessian(network, F.cross_entropy, [(short, y[:5]), (long, y[5:])])
    torch.testing.assert_close(matrix_of(operator), exact_hessian(network, F.cross_entropy, (joined, y)))


@pytest.mark.parametrize("chunk", [None, 5])
def test_a_triple_gives_the_explicitly_weighted_hessian(chunk):
    network, (x, y) = small_network(), small_data(examples=12)
    weights = torch.rand(12, dtype=torch.float64) * 3
    expected = sum(
        weight / 12 * exact_hessian(network, F.cross_entropy, (x[i : i + 1], y[i : i + 1]))
        for i, weight in enumerate(weights)
    )
    operator = hessian(network, weighted, (x, y, weights), chunk=chunk)
    torch.testing.assert_close(matrix_of(operator), expected)


@pytest.mark.parametrize("chunk", [None, 9])
@pytest.mark.parametrize("as_mask", [Mask, dict])
def test_the_restriction_is_the_submatrix_of_the_survivors(as_mask, chunk):
    network, data = small_network(), small_data()
    mask = random_mask(network, 0.2)
    Mask(mask).apply(network)
    operator = hessian(network, F.cross_entropy, data, as_mask(mask), chunk=chunk)
    survivors = sum(int(m.sum()) for m in mask.values())
    assert operator.shape == (survivors + 19, survivors + 19)  # the 19 biases are not named, so kept whole
    torch.testing.assert_close(matrix_of(operator), exact_hessian(network, F.cross_entropy, data, kept=mask))


def test_the_restriction_is_taken_where_the_network_stands_even_if_removed_weights_are_not_zero():
    network, data = small_network(), small_data()
    mask = random_mask(network, 0.3)
    torch.testing.assert_close(
        matrix_of(hessian(network, F.cross_entropy, data, mask)),
        exact_hessian(network, F.cross_entropy, data, kept=mask),
    )


def test_names_select_parameters_in_the_networks_order_and_ignore_the_masks_of_others():
    network, data = small_network(), small_data()
    mask = random_mask(network, 0.5)
    operator = hessian(network, F.cross_entropy, data, mask, names=["3.bias", "1.weight"])
    expected = exact_hessian(network, F.cross_entropy, data, names=["1.weight", "3.bias"], kept=mask)
    torch.testing.assert_close(matrix_of(operator), expected)


def test_frozen_parameters_are_left_out():
    network, data = small_network(), small_data()
    network[1].requires_grad_(False)
    names = [name for name, p in network.named_parameters() if p.requires_grad]
    operator = hessian(network, F.cross_entropy, data)
    torch.testing.assert_close(matrix_of(operator), exact_hessian(network, F.cross_entropy, data, names=names))


def test_at_gives_the_hessian_of_another_point():
    network, data = small_network(), small_data()
    other = small_network(seed=7)
    values = dict(other.named_parameters())
    operator = hessian(network, F.cross_entropy, data, at=values)
    torch.testing.assert_close(matrix_of(operator), exact_hessian(other, F.cross_entropy, data))
    only_first = hessian(network, F.cross_entropy, data, at={"1.weight": values["1.weight"].float()})
    with torch.no_grad():
        network[1].weight.copy_(values["1.weight"].float())
    torch.testing.assert_close(matrix_of(only_first), exact_hessian(network, F.cross_entropy, data))


def test_gradient_is_the_networks_whether_or_not_a_product_came_first():
    network, data = small_network(), small_data()
    F.cross_entropy(network(data[0]), data[1]).backward()
    expected = torch.cat([p.grad.reshape(-1) for p in network.parameters()])
    operator = hessian(network, F.cross_entropy, data)
    torch.testing.assert_close(operator.gradient(), expected)
    operator @ expected
    torch.testing.assert_close(operator.gradient(), expected)
    torch.testing.assert_close(hessian(network, F.cross_entropy, data, chunk=5).gradient(), expected)
    assert not operator.gradient().requires_grad


def test_flatten_and_unflatten_are_inverse_on_the_survivors():
    network, data = small_network(), small_data()
    mask = random_mask(network, 0.4)
    operator = hessian(network, F.cross_entropy, data, mask)
    vector = torch.randn(operator.shape[0], dtype=torch.float64)
    tensors = operator.unflatten(vector)
    assert list(tensors) == [name for name, _ in network.named_parameters()]
    assert all(bool((tensors[name][~entry] == 0).all()) for name, entry in mask.items())
    assert torch.equal(operator.flatten(tensors), vector)
    whole = operator.flatten({"1.weight": torch.ones(10, 16)})
    assert whole.sum() == mask["1.weight"].sum()


def test_float32_and_a_wider_dtype():
    network, data = small_network(), small_data()
    expected = exact_hessian(network, F.cross_entropy, data)
    single, inputs = copy.deepcopy(network).float(), data[0].float()
    vector = torch.randn(257, dtype=torch.float64)
    product = hessian(single, F.cross_entropy, (inputs, data[1])) @ vector.float()
    assert product.dtype == torch.float32
    torch.testing.assert_close(product.double(), expected @ vector, rtol=1e-4, atol=1e-4)
    wide = hessian(single, F.cross_entropy, (inputs, data[1]), dtype=torch.float64)
    assert wide.dtype == torch.float64
    torch.testing.assert_close(wide @ vector, exact_hessian(single, F.cross_entropy, (inputs, data[1])) @ vector)


def test_the_network_is_untouched_and_no_gradient_is_left():
    network, data = small_network(), small_data()
    network.train()
    network[1].eval()
    network[3].weight.grad = torch.full_like(network[3].weight, 3.0)
    before = copy.deepcopy(network.state_dict())
    flags = [module.training for module in network.modules()]
    identities = [id(p) for p in network.parameters()]
    for chunk in (None, 5):
        operator = hessian(network, F.cross_entropy, data, random_mask(network, 0.5), chunk=chunk)
        operator @ torch.ones(operator.shape[0], dtype=torch.float64)
        operator.gradient()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [module.training for module in network.modules()] == flags
    assert [id(p) for p in network.parameters()] == identities
    grads = {name: p.grad for name, p in network.named_parameters()}
    assert torch.equal(grads.pop("3.weight"), torch.full_like(network[3].weight, 3.0))
    assert set(grads.values()) == {None}


def test_the_operator_stays_at_its_point_when_training_goes_on():
    network, data = small_network(), small_data()
    expected = exact_hessian(network, F.cross_entropy, data).sum(1)
    ones = torch.ones(257, dtype=torch.float64)
    for chunk in (None, 5):
        operator = hessian(network, F.cross_entropy, data, chunk=chunk)
        operator @ ones
        with torch.no_grad():
            network[1].weight.mul_(2)
        torch.testing.assert_close(operator @ ones, expected)
        with torch.no_grad():
            network[1].weight.mul_(0.5)


def test_dropping_the_operator_frees_its_graph():
    network, data = small_network(), small_data()
    kept = []
    operator = hessian(network, F.cross_entropy, data)
    handle = network[2].register_forward_hook(lambda module, inputs, outputs: kept.append(weakref.ref(outputs)))
    operator @ torch.ones(257, dtype=torch.float64)
    handle.remove()
    (graph,) = kept  # of an activation, which the graph alone holds
    assert graph() is not None
    gc.disable()
    try:
        del operator
        assert graph() is None  # no reference cycle keeps it until the collector comes
    finally:
        gc.enable()


def test_products_work_under_no_grad():
    network, data = small_network(), small_data()
    with torch.no_grad():
        product = hessian(network, F.cross_entropy, data, chunk=6) @ torch.ones(257, dtype=torch.float64)
    expected = exact_hessian(network, F.cross_entropy, data).sum(1)
    torch.testing.assert_close(product, expected)


def test_the_retained_graph_spends_one_forward_pass():
    network, data = small_network(), small_data()
    calls = []
    network.register_forward_hook(lambda *_: calls.append(1))
    operator = hessian(network, F.cross_entropy, data)
    calls.clear()  # the memory probe
    for _ in range(4):
        operator @ torch.ones(257, dtype=torch.float64)
    assert (len(calls), operator.products) == (1, 4)
    operator = hessian(network, F.cross_entropy, data, chunk=8)
    calls.clear()
    for _ in range(4):
        operator @ torch.ones(257, dtype=torch.float64)
    assert (len(calls), operator.products) == (3 * 4, 4)


def test_data_beyond_the_memory_limit_is_cut_in_chunks(monkeypatch):
    network, data = small_network(), small_data()
    assert len(objective_module.Objective(network, F.cross_entropy, data).batches) == 1
    monkeypatch.setattr(objective_module, "GRAPH_BYTES", 10_000)
    objective = objective_module.Objective(network, F.cross_entropy, data)
    assert 1 < len(objective.batches) < 24
    assert sum(len(batch[0]) for batch in objective.batches) == 24
    expected = exact_hessian(network, F.cross_entropy, data).sum(1)
    operator = hessian(network, F.cross_entropy, data)
    torch.testing.assert_close(operator @ torch.ones(257, dtype=torch.float64), expected)


def test_parameters_without_curvature_give_zeros():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.linear, self.unused = (nn.Parameter(torch.ones(2)) for _ in range(3))

        def forward(self, inputs):
            return inputs * self.used**3 + self.linear

    operator = hessian(Odd().double(), lambda outputs, _: outputs.mean(), (torch.ones(4, 2), torch.zeros(4)))
    product = operator.unflatten(operator @ torch.ones(6, dtype=torch.float64))
    torch.testing.assert_close(product["used"], torch.full((2,), 3.0, dtype=torch.float64))  # 6 used / 2 outputs
    assert not product["linear"].any()
    assert not product["unused"].any()
    straight = hessian(Odd().double(), lambda o, _: o.mean(), (torch.ones(4, 2), torch.zeros(4)), names=["linear"])
    assert not (straight @ torch.ones(2, dtype=torch.float64)).any()


def test_tied_weights_count_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode = nn.Linear(4, 4, bias=False)
            self.decode = nn.Linear(4, 4, bias=False)
            self.decode.weight = self.encode.weight

        def forward(self, inputs):
            return self.decode(torch.tanh(self.encode(inputs)))

    network = Tied().double()
    x = torch.randn(9, 4, dtype=torch.float64)
    operator = hessian(network, F.mse_loss, (x, x))
    assert operator.shape == (16, 16)
    weight = network.encode.weight.detach()

    def value(flat):
        w = flat.view(4, 4)
        return F.mse_loss(torch.tanh(x @ w.T) @ w.T, x)

    torch.testing.assert_close(matrix_of(operator), hessian_of(value, weight.reshape(-1)))


def test_batchnorm_in_eval_mode_uses_its_running_statistics():
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)).double()
    data = small_data()
    for _ in range(3):
        network(data[0] * 2 + 1)
    network.eval()
    buffers = copy.deepcopy(dict(network.named_buffers()))
    operator = hessian(network, F.cross_entropy, data, chunk=7)
    torch.testing.assert_close(matrix_of(operator), exact_hessian(network, F.cross_entropy, data))
    assert all(torch.equal(b, buffers[name]) for name, b in network.named_buffers())


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (nn.BatchNorm1d(10), "BatchNorm1d"),
        (nn.SyncBatchNorm(10), "SyncBatchNorm"),
        (nn.Dropout(0.1), "Dropout"),
        (nn.AlphaDropout(0.1), "AlphaDropout"),
    ],
)
def test_layers_that_make_the_loss_no_mean_are_refused_by_name_in_training_mode(layer, name):
    network, data = small_network(), small_data()
    network.insert(2, layer.double().train())
    with pytest.raises(InputError, match=rf"'2' \({name}\) is in training mode.*eval"):
        hessian(network, F.cross_entropy, data)


class Chance(nn.Module):
    """Draws anew at every evaluation, whatever its mode: no layer's type gives it away."""

    def forward(self, inputs):
        return F.dropout(inputs, 0.5, training=True)


class Counting(nn.Module):
    """Keeps state: each evaluation scales by more."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, inputs):
        self.calls += 1
        return inputs * self.calls


@pytest.mark.parametrize("layer", [Chance, Counting])
@pytest.mark.parametrize("chunk", [None, 7])
def test_a_loss_that_changes_between_two_evaluations_is_refused(layer, chunk):
    network, data = small_network(), small_data()
    network.insert(2, layer().double().eval())
    state = torch.get_rng_state()
    with pytest.raises(InputError, match=r"differs between two evaluations by .*take out") as caught:
        hessian(network, F.cross_entropy, data, chunk=chunk)
    assert "\n" not in str(caught.value)
    if chunk is not None:  # or the memory probe has drawn as well
        assert torch.equal(torch.get_rng_state(), state)
    hessian(network, F.cross_entropy, data, chunk=chunk, check=False)


def test_the_check_forgives_rounding_and_looks_at_few_examples():
    network, data = small_network().float(), small_data(examples=200)
    seen, calls = [], []

    def wobbling(outputs, targets):
        seen.append(len(outputs))
        calls.append(1)
        return F.cross_entropy(outputs, targets) * (1 + 1e-6 * (len(calls) % 2))

    hessian(network, wobbling, (data[0].float(), data[1]), chunk=150)
    assert seen == [64, 64]


def test_batchnorm_without_statistics_is_refused_and_idle_dropout_is_not():
    network, data = small_network(), small_data()
    network.insert(2, nn.BatchNorm1d(10, track_running_stats=False).double().eval())
    with pytest.raises(InputError, match="no running statistics"):
        hessian(network, F.cross_entropy, data)
    network[2] = nn.Dropout(0.0)
    hessian(network, F.cross_entropy, data)


def test_a_restriction_to_parameters_that_the_mask_leaves_whole_is_none():
    network, data = small_network(), small_data()
    mask = random_mask(network, 0.5)
    bias = next(name for name, _ in network.named_parameters() if name not in mask)
    one, other = (hessian(network, F.cross_entropy, data, m, names=[bias]) for m in (mask, None))
    assert one.shape == other.shape
    v = torch.ones(one.shape[0], dtype=one.dtype)
    assert torch.equal(one @ v, other @ v)


def test_bad_input_is_refused_in_one_line():
    network, (x, y) = small_network(), small_data()
    mask = random_mask(network, 0.5)
    nothing = {name: torch.zeros_like(entry) for name, entry in mask.items()}
    cases = [
        ({"mask": nothing}, "keeps no weight"),
        ({"mask": {"1.weigth": mask["1.weight"]}}, "'1.weigth' is no parameter.*1.weight"),
        ({"mask": {"1.weight": mask["1.weight"].T}}, r"shape \(16, 10\).*\(10, 16\)"),
        ({"mask": {"1.weight": torch.full((10, 16), 0.5)}}, "other than 0 and 1"),
        ({"names": ["nope"]}, "'nope' is no parameter"),
        ({"names": []}, "no parameter"),
        ({"at": {"nope": x}}, "'nope' is no parameter"),
        ({"at": {"1.bias": x}}, "'1.bias' has shape"),
        ({"chunk": 0}, "chunk 0"),
        ({"data": (x, y[:-1])}, "unequal lengths"),
        ({"data": (x[:0], y[:0])}, "no examples"),
        ({"data": []}, "no examples"),
        ({"data": ["xy"]}, "must be a tuple"),
        ({"loss": lambda o, t: F.cross_entropy(o, t, reduction="none")}, r"\(1,\), not a scalar"),
        ({"loss": lambda o, t: 1.0}, "float, not a scalar"),
        ({"loss": lambda o, t: F.cross_entropy(o.detach(), t)}, "does not depend"),
    ]
    for changed, message in cases:
        arguments = {"network": network, "loss": F.cross_entropy, "data": (x, y)} | changed
        with pytest.raises(InputError, match=message) as caught:
            hessian(**arguments)
        assert "\n" not in str(caught.value)
    operator = hessian(network, F.cross_entropy, (x, y))
    for call in (lambda v: operator @ v, operator.unflatten, operator.scatter):
        with pytest.raises(InputError, match=r"takes \(257,\)"):
            call(torch.ones(258, dtype=torch.float64))
    with pytest.raises(InputError, match=r"'2\.weight' is no parameter"):
        operator.flatten({"2.weight": torch.ones(1)})


def test_parameters_of_two_dtypes_need_a_common_one():
    network, data = small_network(), small_data()
    network[5].float()
    with pytest.raises(InputError, match="several dtypes"):
        hessian(network, F.cross_entropy, data)
    assert hessian(network, F.cross_entropy, data, dtype=torch.float64).shape == (257, 257)


@pytest.mark.gpu
def test_products_on_a_gpu_agree_with_the_cpu():
    network, data = small_network().float(), small_data()
    data = (data[0].float(), data[1])
    mask = random_mask(network, 0.3)
    vector = torch.randn(hessian(network, F.cross_entropy, data, mask).shape[0])
    expected = hessian(network, F.cross_entropy, data, mask) @ vector
    product = hessian(copy.deepcopy(network).cuda(), F.cross_entropy, data, mask) @ vector.cuda()
    assert product.is_cuda
    torch.testing.assert_close(product.cpu(), expected, rtol=1e-3, atol=1e-5)
