import hashlib
import itertools
import json

import pytest
from pydantic import ValidationError

from esacl.config import (
    BENCHMARK_NAMES,
    BENCHMARKS,
    METHOD_NAMES,
    NETWORK_NAMES,
    RunConfig,
    config_with,
    parse_setting,
    read_config,
)
from esacl.defaults import BALANCED
from esacl.errors import InputError
from esacl.protocols import DER, PROTOCOL_NAMES


def test_the_defaults_are_the_main_job():
    config = RunConfig()
    assert (config.benchmark, config.scenario, config.method) == ("split-digits", "task", "esacl")
    assert (config.sparsity, config.tasks, config.seed, config.device) == (0.9, 5, 0, "auto")


@pytest.mark.parametrize(
    ("benchmark", "method"),
    [(b, m) for b, m in itertools.product(BENCHMARK_NAMES, METHOD_NAMES) if (b, m) != ("permuted-mnist", "packnet")],
)
def test_every_benchmark_fits_every_method_without_settings(benchmark, method):
    config = RunConfig(benchmark=benchmark, method=method)
    assert config.scenario in BENCHMARKS[benchmark]["scenarios"]
    assert config.sparsity == (0.9 if method in ("esacl", "packnet", "rigl", "sparcl") else 0)
    assert config.network != "auto"
    assert RunConfig.from_dict(config.to_dict()) == config


def test_what_rehearses_has_a_buffer_of_the_benchmarks_size():
    for method in ("er", "derpp", "sparcl"):
        assert RunConfig(method=method).buffer.size == 200
        assert RunConfig(method=method, benchmark="split-mnist").buffer.size == 500
        assert RunConfig(method=method, buffer={"size": 30}).buffer.size == 30
    assert RunConfig(method="sparcl", sparcl={"base": "ewc"}).buffer.size == 0
    assert RunConfig(method="esacl").buffer.size == 0


def test_sparcl_masks_fresh_logits_where_that_means_anything():
    assert RunConfig(method="sparcl", scenario="class").mask_logits
    assert not RunConfig(method="sparcl", scenario="class", mask_logits=False).mask_logits
    assert not RunConfig(method="sparcl").mask_logits


def test_logits_are_masked_or_balanced_and_one_that_is_asked_for_takes_the_others_place():
    for method in ("esacl", "sparcl"):
        fields = {"method": method, "scenario": "class", "buffer": {"size": 500}}
        both = [("mask_logits", "balance_logits", True), ("balance_logits", "mask_logits", 1.5)]
        for one, other, value in both:
            found = RunConfig(**fields, **{one: value})
            assert getattr(found, one)
            assert not getattr(found, other)
        neither = RunConfig(**fields, mask_logits=False)
        assert not neither.mask_logits
        assert not neither.balance_logits


def test_a_field_that_came_later_leaves_the_digest_of_what_was_before():
    """Else every result that is kept by its digest would be lost with each new field."""
    fields = RunConfig(method="derpp", scenario="class").model_dump(exclude={"name", "device", "threads"})
    del fields["balance_logits"], fields["pruning"]["flops_exponent"]
    del fields["sdp"]["radius"], fields["sdp"]["revive"], fields["curvature"]["during"]
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]
    before = {"method": "derpp", "scenario": "class", "curvature": {"during": 0}}
    assert RunConfig(**before).digest == digest
    assert RunConfig(**before, balance_logits=1.0).digest != digest
    assert RunConfig(**before | {"curvature": {"during": 1}}).digest != digest
    later = [{}, {"pruning": {"flops_exponent": 0.1}}, {"sdp": {"radius": 0.1}}, {"sdp": {"revive": False}}]
    assert len({RunConfig(**fields).digest for fields in later}) == 4


def test_esacl_with_a_buffer_rehearses_as_derpp_does_where_only_that_tells_classes_apart():
    ours = RunConfig(scenario="class", buffer={"size": 500})
    assert (ours.buffer.rehearsal, ours.balance_logits, ours.anchor.strength) == ("dark", BALANCED, 0.03)
    for other in ({"scenario": "task"}, {"scenario": "class", "method": "ewc"}):
        plain = RunConfig(**other, buffer={"size": 500})
        assert (plain.buffer.rehearsal, plain.balance_logits) == ("plain", 0)
        assert plain.anchor.strength == RunConfig(**other).anchor.strength
    assert RunConfig(scenario="class").buffer.rehearsal == "plain"
    assert RunConfig(scenario="class", buffer={"size": 500}, anchor={"distillation": 0}).anchor.strength == 3.0
    for own in (
        {"buffer": {"size": 500, "rehearsal": "plain"}},
        {"buffer": {"size": 500}, "ids": {"train_fraction": 0.5}},
    ):
        found = RunConfig(scenario="class", **own)
        assert (found.buffer.rehearsal, found.balance_logits, found.anchor.strength) == ("plain", 0, 0.1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sdp": {"form": "any"}, "sparsity": 0.0}, r"sparsity: 0\.0 will not do with sdp\.form 'any'"),
        ({"sdp": {"form": "any"}, "sparsity": 0.99}, r"choose a number above 0 and up to 0\.98"),
        ({"sdp": {"form": "any"}, "pruning": {"allocation": "erk"}}, r"pruning\.allocation: 'erk' .*one order"),
        ({"sdp": {"form": "any"}, "pruning": {"allocation": "neuron"}}, r"pruning\.allocation: 'neuron' .*one order"),
        ({"pruning": {"allocation": "2:4"}, "sparsity": 0.9}, r"sparsity: 0\.9 .*two of every four.*set it to 0\.5"),
        ({"pruning": {"allocation": "2:4"}, "sparsity": 0.0}, r"sparsity: 0\.0 .*'2:4'"),
        ({"method": "rigl", "pruning": {"allocation": "neuron"}}, r"'neuron' will not do for 'rigl'.*choose global"),
        ({"method": "packnet", "pruning": {"allocation": "2:4"}}, r"'2:4' will not do for 'packnet'"),
        ({"method": "sparcl", "pruning": {"allocation": "neuron"}}, r"'neuron' will not do for 'sparcl'"),
        ({"sdp": {"form": "any"}, "network": "resnet18"}, r"network: 'resnet18' .*BatchNorm statistics"),
        ({"method": "packnet", "scenario": "class"}, "'packnet' must know the task.* scenario 'class'"),
        ({"method": "packnet", "scenario": "domain"}, "'packnet' must know the task"),
        ({"mask_logits": True}, "mask_logits: true will not do: it changes nothing in scenario 'task'"),
        ({"balance_logits": 1.0}, "balance_logits: 1.0 will not do: it changes nothing in scenario 'task'"),
        ({"scenario": "class", "mask_logits": True, "balance_logits": 1.0}, "balance_logits will not do together"),
        ({"method": "er", "buffer": {"size": 0}}, r"buffer\.size: 0 will not do: 'er' rehearses"),
        (
            {"method": "er", "buffer": {"rehearsal": "dark"}},
            r"buffer\.rehearsal: 'dark' is not 'er', whose own is 'plain'",
        ),
        ({"buffer": {"rehearsal": "dark"}}, r"buffer\.rehearsal: 'dark' needs a memory"),
        ({"method": "joint", "buffer": {"rehearsal": "dark"}}, r"buffer\.rehearsal: 'dark' needs a memory"),
        ({"method": "derpp", "buffer": {"rehearsal": "plain"}}, r"buffer\.rehearsal: 'plain' is not 'derpp'"),
        ({"method": "sparcl", "sparcl": {"base": "co2l"}, "buffer": {"rehearsal": "dark"}}, "whose own is 'plain'"),
        ({"method": "derpp", "ids": {"train_fraction": 0.5}}, r"ids\.train_fraction: 0\.5 .*three losses"),
        ({"method": "sparcl", "sparcl": {"base": "er"}, "ids": {"train_fraction": 0.5}}, r"sparcl\.removal"),
        ({"method": "sparcl", "sparcl": {"base": "x"}}, r"unknown sparcl\.base 'x'; choose from ewc, er, derpp, co2l"),
        ({"packnet": {"retrain": 1.0}}, r"packnet\.retrain: 1\.0 will not do; choose a number in \(0, 1\)"),
    ],
)
def test_what_a_method_cannot_do_is_refused(fields, message):
    with pytest.raises(InputError, match=message):
        RunConfig(**fields)


@pytest.mark.parametrize("method", ["esacl", "finetune", "ewc"])
def test_two_of_four_is_half_sparse_where_nothing_is_said(method):
    assert RunConfig(method=method, pruning={"allocation": "2:4"}).sparsity == 0.5


def test_one_shot_pruning_of_others_is_by_magnitude_unless_told():
    assert RunConfig(method="ewc", sparsity=0.5).pruning.saliency == "magnitude"
    assert RunConfig(method="ewc", pruning={"saliency": "random"}).pruning.saliency == "random"
    assert RunConfig().pruning.saliency == "second-order"


@pytest.mark.parametrize(
    ("benchmark", "tasks", "limit"),
    [("split-cifar10", 5, 1600), ("split-cifar100", 10, 2000), ("split-tiny-imagenet", 5, 2000)],
)
def test_the_small_presets_of_colour_benchmarks(benchmark, tasks, limit):
    config = RunConfig(benchmark=benchmark)
    assert (config.protocol, config.network, config.tasks, config.train_limit) == ("small", "small-cnn", tasks, limit)
    assert (config.epochs, config.batch_size, config.augment) == (4, 32, "none")
    assert (config.schedule, config.momentum, config.lr) == ("wsd", 0.9, 0.05)


@pytest.mark.parametrize(
    ("settings", "rate"),
    [
        ({"method": "esacl"}, 0.05),
        ({"method": "ewc"}, 0.03),
        ({"method": "er"}, 0.0175),
        ({"method": "rigl"}, 0.03),
        ({"method": "derpp"}, 0.007),
        ({"method": "sparcl"}, 0.04),
        ({"method": "finetune"}, 0.0025),
        ({"method": "sparcl", "sparcl": {"base": "co2l"}}, 0.005),
        ({"method": "derpp", "network": "mlp"}, 0.007),
        ({"method": "derpp", "lr": 0.3}, 0.3),
    ],
)
def test_the_small_rates_of_colour_benchmarks_are_each_methods_own(settings, rate):
    assert RunConfig(benchmark="split-cifar10", **settings).lr == rate
    assert RunConfig(method=settings["method"]).lr == 0.05


@pytest.mark.parametrize(
    ("benchmark", "protocol", "resolution"),
    [
        ("split-digits", "small", 8),
        ("split-mnist", "small", 28),
        ("split-cifar10", "small", 32),
        ("split-tiny-imagenet", "small", 32),
        ("split-tiny-imagenet", "der", 64),
    ],
)
def test_images_are_as_published_but_for_tiny_imagenet_in_the_small_protocol(benchmark, protocol, resolution):
    config = RunConfig(benchmark=benchmark, protocol=protocol)
    assert config.resolution == resolution
    assert RunConfig.from_dict(config.to_dict()) == config


def test_another_benchmark_has_images_of_its_own():
    assert config_with(RunConfig(), {"benchmark": "split-mnist"}).resolution == 28
    assert config_with(RunConfig(), {"benchmark": "split-mnist", "resolution": 14}).resolution == 14
    assert config_with(RunConfig(benchmark="split-mnist", resolution=14), {"seed": 3}).resolution == 14


def test_images_as_published_can_be_asked_for_and_are_not_lost_on_the_way():
    config = RunConfig(benchmark="split-tiny-imagenet", resolution=64)
    assert RunConfig.from_dict(config.to_dict()).resolution == 64


@pytest.mark.parametrize(
    ("fields", "choices"),
    [
        ({"benchmark": "split-mnist", "resolution": 10}, "28, 14, 7, 4, 2, 1"),
        ({"benchmark": "split-tiny-imagenet", "resolution": 4}, "64, 32, 16, 8"),
    ],
)
def test_only_whole_blocks_become_a_pixel(fields, choices):
    with pytest.raises(InputError, match=rf"resolution: {fields['resolution']} will not do.*choose {choices}$"):
        RunConfig(**fields)


@pytest.mark.parametrize(
    ("benchmark", "tasks", "epochs", "batch_size", "augment"),
    [
        ("split-mnist", 5, 1, 10, "none"),
        ("split-cifar10", 5, 50, 32, "crop-flip"),
        ("split-cifar100", 10, 50, 32, "crop-flip"),
        ("split-tiny-imagenet", 10, 100, 32, "crop-flip"),
    ],
)
def test_the_der_protocol(benchmark, tasks, epochs, batch_size, augment):
    config = RunConfig(benchmark=benchmark, protocol="der", network="mlp")
    found = (config.tasks, config.epochs, config.batch_size, config.augment)
    assert found == (tasks, epochs, batch_size, augment)
    assert (config.schedule, config.momentum, config.train_limit) == ("constant", 0.0, None)
    assert RunConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("benchmark", "size", "rates", "alpha", "beta"),  # of fine-tuning, EWC, ER and DER++
    [
        ("split-mnist", 200, (0.03, 0.03, 0.01, 0.03), 0.2, 1.0),
        ("split-mnist", 500, (0.03, 0.03, 0.1, 0.03), 1.0, 0.5),
        ("split-mnist", 5120, (0.03, 0.03, 0.1, 0.1), 0.2, 0.5),
        ("split-cifar10", 200, (0.1, 0.03, 0.1, 0.03), 0.1, 0.5),
        ("split-cifar10", 500, (0.1, 0.03, 0.1, 0.03), 0.2, 0.5),
        ("split-cifar10", 5120, (0.1, 0.03, 0.1, 0.03), 0.1, 1.0),
        ("split-cifar10", 100, (0.1, 0.03, 0.1, 0.03), 0.1, 0.5),  # as of the next larger buffer
        ("split-cifar10", 9000, (0.1, 0.03, 0.1, 0.03), 0.1, 1.0),
        ("split-cifar100", 500, (0.03, 0.03, 0.1, 0.03), 0.1, 0.5),
        ("split-tiny-imagenet", 200, (0.03, 0.03, 0.1, 0.03), 0.1, 1.0),
        ("split-tiny-imagenet", 500, (0.03, 0.03, 0.03, 0.03), 0.2, 0.5),
    ],
)
def test_rates_and_weights_of_the_der_protocol_are_those_published_for_the_benchmark(
    benchmark, size, rates, alpha, beta
):
    def config(method, **fields):
        return RunConfig(benchmark=benchmark, protocol="der", network="mlp", method=method, **fields)

    kept = {"buffer": {"size": size}}
    derpp = config("derpp", **kept)
    found = (config("finetune").lr, config("ewc").lr, config("er", **kept).lr, derpp.lr)
    assert (found, derpp.derpp.alpha, derpp.derpp.beta) == (rates, alpha, beta)
    assert config("joint").lr == config("packnet").lr == config("rigl").lr == rates[0]  # plain SGD's
    assert config("sparcl", **kept).lr == rates[3]
    assert config("er").lr == config("er", buffer={"size": 500}).lr  # what it keeps unless told otherwise


def test_the_network_of_the_der_protocol():
    assert {facts["network"] for name, facts in DER.items() if name != "split-mnist"} == {"resnet18"}
    if "resnet18" in NETWORK_NAMES:
        assert RunConfig(benchmark="split-cifar10", protocol="der").network == "resnet18"
    else:
        with pytest.raises(InputError, match="unknown network 'resnet18'; choose from mlp"):
            RunConfig(benchmark="split-cifar10", protocol="der")


@pytest.mark.parametrize("protocol", PROTOCOL_NAMES)
def test_what_is_given_wins_over_every_protocol(protocol):
    given = {
        "tasks": 2, "epochs": 3, "batch_size": 7, "network": "mlp", "train_limit": 9, "lr": 0.2, "momentum": 0.5,
        "schedule": "wsd", "augment": "none",
    }  # fmt: skip
    config = RunConfig(benchmark="split-cifar10", method="ewc", protocol=protocol, **given)
    assert {key: getattr(config, key) for key in given} == given


def test_a_config_is_frozen():
    with pytest.raises(ValidationError):
        RunConfig().seed = 3
    with pytest.raises(ValidationError):
        RunConfig().sdp.strength = 3.0


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"benchmark": "split-digit"}, r"unknown benchmark 'split-digit'; choose from split-digits, split-mnist"),
        ({"method": "x"}, r"unknown method 'x'; choose from esacl, finetune"),
        ({"network": "x"}, r"unknown network 'x'; choose from mlp"),
        ({"protocol": "x"}, r"unknown protocol 'x'; choose from small, der"),
        ({"protocol": "der"}, r"protocol 'der' has no settings for 'split-digits'; choose from split-mnist, split-cif"),
        ({"benchmark": "split-cifar10", "scenario": "domain"}, r"scenario 'domain' does not fit .*task, class"),
        ({"schedule": "cosine"}, r"unknown schedule 'cosine'; choose from wsd, constant"),
        ({"momentum": 1.0}, r"momentum: 1\.0 .*number in \[0, 1\)"),
        ({"augment": "cutmix"}, r"unknown augment 'cutmix'; choose from none, crop-flip"),
        ({"scenario": "x"}, r"unknown scenario 'x'; choose from task, class, domain"),
        ({"benchmark": "permuted-mnist", "scenario": "task"}, r"scenario 'task' does not fit .*domain"),
        ({"device": "gpu"}, r"device 'gpu' is not known; choose auto, cpu"),
        ({"sparsity": 1.0}, r"^sparsity: 1\.0 will not do; choose a number in \[0, 1\)$"),
        ({"sparsity": -0.1}, r"sparsity: -0\.1 .*\[0, 1\)"),
        ({"sparsity": float("nan")}, r"sparsity: nan .*number in"),
        ({"sparsity": 0.9999}, r"sparsity: 0\.9999 .*hardly a weight .*\[0, 1\), 0\.999 at most"),
        ({"sparsity": "0.9"}, r"sparsity: '0\.9' .*number"),
        ({"tasks": 6}, r"tasks 6 .*choose 1 to 5"),
        ({"tasks": 0}, r"tasks: 0 .*a whole number from 1 on"),
        ({"epochs": True}, r"epochs: True .*a whole number in \[1, 10000\]"),
        ({"train_limit": 3}, r"train_limit: 3 .*a whole number from 4 on"),
        ({"curvature": {"grid": 1}}, r"curvature\.grid: 1 .*choose 0 \(off\) or 2 to 201"),
        ({"seed": -1}, r"seed: -1"),
        ({"seed": 1.5}, r"seed: 1\.5"),
        ({"sdp": {"form": "x"}}, r"unknown sdp\.form 'x'; choose from admm, segment, progressive"),
        ({"sdp": {"power": 1}}, r"unknown key 'sdp\.power'; choose from form, strength"),
        ({"sdp": 3}, r"sdp: 3 .*is a section; .*for example sdp\.form=admm"),
        ({"ids": {"fraction": 0.0}}, r"ids\.fraction: 0\.0 .*a number in \(0, 1\]"),
        ({"sparsty": 0.5}, r"unknown key 'sparsty'; choose from benchmark"),
        ({"self": 1}, r"unknown key 'self'"),
        ({"name": "x" * 201}, r"name: .*200"),
        ({"name": "esc\x1b[31m"}, r"name: 'esc\\x1b.* will not do: a run's name holds no control characters"),
        ({"method": "joint", "buffer": {"size": 5}}, r"buffer\.size .*joint"),
        ({"method": "joint", "scenario": "class", "mask_logits": True}, r"mask_logits: true .*joint"),
        ({"method": "joint", "scenario": "class", "balance_logits": 1.0}, r"balance_logits: 1.0 .*joint.* at 0"),
    ],
)
def test_what_is_refused_is_named_with_its_value_and_the_remedy_in_one_line(fields, told):
    with pytest.raises(InputError, match=told) as caught:
        RunConfig(**fields)
    assert "\n" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_a_buffer_of_no_number_is_refused_under_the_der_protocol_too():
    with pytest.raises(InputError, match=r"buffer\.size"):
        RunConfig(benchmark="split-cifar10", protocol="der", method="er", buffer={"size": "many"})


def test_the_digest_is_of_what_decides_the_numbers():
    base = RunConfig(threads=1)
    for other in (RunConfig(name="x", threads=1), RunConfig(device="cpu", threads=1), RunConfig(threads=2)):
        assert other.digest == base.digest
    changed = [RunConfig(seed=1), RunConfig(sparsity=0.8), RunConfig(sdp={"every": 11}), RunConfig(tasks=4)]
    assert len({config.digest for config in (base, *changed)}) == 5


def test_a_file_is_read_and_settings_win_over_it(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('method = "ewc"\nseed = 3\n[sdp]\nevery = 7\nform = "segment"\n')
    config = read_config(path, {"seed": 4, "sdp.every": 9, "epochs": None})
    assert (config.method, config.seed, config.sdp.every, config.sdp.form) == ("ewc", 4, 9, "segment")


def test_a_config_with_other_settings_leaves_the_first_alone():
    config = RunConfig(seed=3)
    other = config_with(config, {"curvature.grid": 5, "device": None})
    assert (other.curvature.grid, other.seed, other.device) == (5, 3, "auto")
    assert config.curvature.grid != 5


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a = [", "is not TOML"),
        (b"\xff", "is not TOML"),
        (b"seed = 1\nseed = 2", "is not TOML"),
        (b"[section]\na = 1", "unknown key 'section'"),
    ],
)
def test_a_bad_file_is_named(tmp_path, content, told):
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=told):
        read_config(path, {})


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml cannot be read .*--config"):
        read_config(tmp_path / "none.toml", {})
    with pytest.raises(InputError, match="cannot be read"):
        read_config(tmp_path, {})


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("sdp.every=20", ("sdp.every", 20)),
        ("ids.fraction = 0.5", ("ids.fraction", 0.5)),
        ("sdp.form=admm", ("sdp.form", "admm")),
        ('name="a = b"', ("name", "a = b")),
        ("name=a=b", ("name", "a=b")),
        ("flag=true", ("flag", True)),
    ],
)
def test_settings_are_read_as_toml_or_else_as_text(text, setting):
    assert parse_setting(text) == setting


@pytest.mark.parametrize("text", ["sdp.every", "=3", ""])
def test_a_setting_without_key_or_value_is_refused(text):
    with pytest.raises(InputError, match="is not key=value"):
        parse_setting(text)


def test_a_setting_below_a_value_is_refused():
    with pytest.raises(InputError, match="'seed' is a value, not a section"):
        read_config(None, {"seed": 1, "seed.x": 2})


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "packnet"}, {"method": "sparcl"}, {"method": "rigl"}, {"method": "finetune"},
        {"pruning": {"allocation": "uniform"}},
    ],
    ids=str,
)  # fmt: skip
def test_an_exponent_of_flops_where_no_cut_ranks_all_weights_is_refused(fields):
    RunConfig(pruning={"flops_exponent": 0.2})
    RunConfig(method="ewc", sparsity=0.5, pruning={"flops_exponent": 0.2})
    with pytest.raises(InputError, match=r"pruning\.flops_exponent: 0\.2 will not do"):
        RunConfig(**fields | {"pruning": {"flops_exponent": 0.2} | fields.get("pruning", {})})
