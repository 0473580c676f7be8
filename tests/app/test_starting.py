import json
import shlex

import pytest
from streamlit.testing.v1 import AppTest

from app import competing, controls, duplicating, starting, widgets
from esacl import accelerators, computing
from esacl.cli import main
from esacl.config import read_config


@pytest.fixture
def form(monkeypatch, tmp_path):
    monkeypatch.setenv("ESACL_RUNS", str(tmp_path))

    def script():
        from app import starting

        starting.form()

    return AppTest.from_function(script, default_timeout=30).run()


def test_the_form_is_the_default_run(form, monkeypatch):
    started = []
    monkeypatch.setattr(starting.jobs, "start", lambda config, store, owner: started.append(config) or "a-run")
    form.button(key="start").click().run()
    assert started == [read_config(None, {})]
    assert form.session_state["run"] == "a-run"


@pytest.mark.parametrize(
    ("method", "scenario"),
    [("ewc", "task"), ("sparcl", "class"), ("packnet", "task"), ("esacl", "domain"), ("er", "task")],
)
def test_what_nobody_touched_is_what_the_command_line_would_take(form, monkeypatch, method, scenario):
    started = []
    monkeypatch.setattr(starting.jobs, "start", lambda config, store, owner: started.append(config) or "a-run")
    form.selectbox(key="new-method").select(method).run()
    form.selectbox(key="new-scenario-3").select(scenario).run()
    form.button(key="start").click().run()
    assert not form.exception
    assert started == [read_config(None, {"method": method, "scenario": scenario})]


def test_controls_reach_the_config(form, monkeypatch):
    started = []
    monkeypatch.setattr(starting.jobs, "start", lambda config, store, owner: started.append(config) or "a-run")
    form.selectbox(key="new-benchmark").select("split-mnist").run()
    form.selectbox(key="new-method").select("ewc").run()
    form.slider(key="new-sparsity-False").set_value(95.0).run()
    form.slider(key="new-ids").set_value(10).run()
    form.number_input(key="new-anchor-3.0").set_value(2.5).run()
    form.number_input(key="new-epochs-split-mnist-small").set_value(2).run()
    form.number_input(key="new-seed").set_value(11).run()
    form.selectbox(key="new-device").select("cpu").run()
    form.button(key="start").click().run()
    assert not form.exception
    (config,) = started
    assert (config.benchmark, config.method, config.sparsity) == ("split-mnist", "ewc", 0.95)
    assert (config.ids.fraction, config.anchor.strength, config.epochs) == (0.1, 2.5, 2)
    assert (config.seed, config.device) == (11, "cpu")


def test_the_form_of_sdp_follows_the_sparsity_until_one_is_chosen(form, monkeypatch):
    started = []
    monkeypatch.setattr(starting.jobs, "start", lambda config, store, owner: started.append(config) or "a-run")
    box = form.selectbox(key="new-form")
    assert box.options[0] == "usual: admm"
    form.slider(key="new-sparsity-True").set_value(98.0).run()
    assert form.selectbox(key="new-form").options[0] == "usual: progressive"
    form.button(key="start").click().run()
    form.selectbox(key="new-form").select("segment").run()
    form.button(key="start").click().run()
    form.slider(key="new-sparsity-True").set_value(95.0).run()
    form.button(key="start").click().run()
    assert not form.exception
    chosen = ({"sparsity": 0.98}, {"sparsity": 0.98, "sdp.form": "segment"}, {"sparsity": 0.95, "sdp.form": "segment"})
    assert started == [read_config(None, one) for one in chosen]


def test_two_of_four_leaves_no_choice_of_how_much(form, monkeypatch):
    started = []
    monkeypatch.setattr(starting.jobs, "start", lambda config, store, owner: started.append(config) or "a-run")
    form.selectbox(key="new-allocation-global-5").select("2:4").run()
    assert form.slider(key="new-sparsity-2:4").disabled
    assert form.slider(key="new-sparsity-2:4").value == 50
    form.button(key="start").click().run()
    form.selectbox(key="new-allocation-global-5").select("neuron").run()
    form.button(key="start").click().run()
    assert not form.exception
    assert started == [read_config(None, {"pruning.allocation": name}) for name in ("2:4", "neuron")]


def test_a_method_that_moves_single_weights_has_no_structure_to_choose(form):
    form.selectbox(key="new-method").select("rigl").run()
    assert len(form.selectbox(key="new-allocation-erk-3").options) == 3


def test_the_structure_of_a_mask_is_said_beside_the_method():
    found = [
        widgets.method_name(read_config(None, {"pruning.allocation": name})) for name in ("global", "2:4", "neuron")
    ]
    assert found == ["EsaCL", "EsaCL, 2:4", "EsaCL, whole units"]
    assert widgets.method_name(read_config(None, {"method": "ewc", "pruning.allocation": "neuron"})) == "EWC"


@pytest.mark.parametrize("method", ["esacl", "ewc", "joint"])
def test_a_protocol_brings_its_own_size_and_rates(form, monkeypatch, method):
    started = []
    monkeypatch.setattr(starting.jobs, "start", lambda config, store, owner: started.append(config) or "a-run")
    form.selectbox(key="new-benchmark").select("split-cifar10").run()
    form.selectbox(key="new-method").select(method).run()
    form.selectbox(key="new-protocol-2").select("der").run()
    form.button(key="start").click().run()
    assert not form.exception
    assert started == [read_config(None, {"benchmark": "split-cifar10", "method": method, "protocol": "der"})]
    assert (started[0].epochs, started[0].network) == (50, "resnet18")


def test_a_benchmark_with_one_protocol_has_none_to_choose(form):
    assert not any(box.key.startswith("new-protocol") for box in form.selectbox)


def test_a_method_that_a_scenario_lacks_leaves_the_size_of_the_benchmark(form):
    form.selectbox(key="new-benchmark").select("split-cifar10").run()
    form.selectbox(key="new-method").select("packnet").run()
    form.selectbox(key="new-scenario-2").select("class").run()
    assert form.error
    assert form.number_input(key="new-epochs-split-cifar10-small").value == 4


def test_only_what_fits_the_benchmark_is_offered(form):
    form.selectbox(key="new-benchmark").select("permuted-mnist").run()
    assert form.selectbox(key="new-scenario-1").options == ["domain-IL"]


def test_a_network_that_is_slow_to_measure_is_announced(form):
    def warned():
        return any("takes minutes" in caption.value for caption in form.caption)

    form.selectbox(key="new-device").select("cpu").run()
    assert not warned()
    form.selectbox(key="new-network").select("small-cnn").run()
    assert warned()
    assert not form.exception


def test_a_refused_start_is_one_line(form, monkeypatch):
    def refuse(config, store, owner):
        raise starting.InputError("runs folder /nowhere cannot be written (Read-only file system); mend it")

    monkeypatch.setattr(starting.jobs, "start", refuse)
    form.button(key="start").click().run()
    assert [error.value for error in form.error] == [
        "runs folder /nowhere cannot be written \\(Read\\-only file system\\); mend it"
    ]
    assert not form.exception


def test_the_command_shown_starts_the_same_run(monkeypatch):
    settings = {
        "benchmark": "split-digits",
        "scenario": "class",
        "method": "esacl",
        "sparsity": 0.95,
        "ids.fraction": 0.1,
        "anchor.strength": 2.0,
        "epochs": 3,
        "seed": 4,
        "device": "cpu",
        "tasks": 3,
        "network": "mlp",
        "train_limit": None,
        "sdp.form": "progressive",
        "name": "mine; rm -rf 'all' <b>",
    }
    words = shlex.split(starting.command(settings))
    assert words[:2] == ["esacl", "run"]
    started = []
    monkeypatch.setattr(computing, "run_new", lambda store, config, data, as_json: started.append(config) or 0)
    assert main(words[1:]) == 0
    assert started == [read_config(None, settings)]


def test_devices_are_found_without_torch(monkeypatch):
    assert controls.devices()[:2] == ["auto", "cpu"]
    monkeypatch.setattr(accelerators, "torch_is_for_cpus", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-5f")
    assert controls.devices()[:4] == ["auto", "cpu", "cuda:0", "cuda:1"]


def test_what_a_method_keeps_by_itself_is_shown_and_goes_with_it(form, monkeypatch):
    started = []
    monkeypatch.setattr(starting.jobs, "start", lambda config, store, owner: started.append(config) or "a-run")
    form.selectbox(key="new-method").select("er").run()
    assert form.number_input(key="new-buffer-200").value == 200
    form.number_input(key="new-buffer-200").set_value(60).run()
    form.button(key="start").click().run()
    form.selectbox(key="new-method").select("ewc").run()
    assert form.number_input(key="new-buffer-0").value == 0
    form.button(key="start").click().run()
    assert [config.buffer.size for config in started] == [60, 0]


def test_what_sparcl_is_laid_over_and_which_logits_compete_can_be_chosen(form, monkeypatch):
    started = []
    monkeypatch.setattr(starting.jobs, "start", lambda config, store, owner: started.append(config) or "a-run")
    form.selectbox(key="new-method").select("sparcl").run()
    assert "new-logits" not in [box.key for box in form.selectbox]
    form.selectbox(key="new-scenario-3").select("class").run()
    form.selectbox(key="new-base").select("er").run()
    for choice in ("own", "all", "masked", "balanced"):
        form.selectbox(key="new-logits").select(choice).run()
        form.button(key="start").click().run()
    form.number_input(key="new-balance-1.0").set_value(1.75).run()
    form.button(key="start").click().run()
    found = [(config.mask_logits, config.balance_logits) for config in started]
    assert found == [(True, 0), (False, 0), (True, 0), (False, 1), (False, 1.75)]
    assert {(config.sparcl.base, config.buffer.rehearsal) for config in started} == {("er", "plain")}


@pytest.mark.parametrize(
    ("settings", "choice"),
    [
        ({"buffer.size": 500}, "own"),
        ({"buffer.size": 500, "mask_logits": True}, "masked"),
        ({"buffer.size": 500, "mask_logits": False}, "all"),
        ({"buffer.size": 500, "balance_logits": 0.75}, "balanced"),
        ({"buffer.size": 500, "buffer.rehearsal": "plain"}, "own"),
        ({"buffer.size": 500, "ids.train_fraction": 0.5, "balance_logits": 1.25}, "balanced"),
        ({}, "own"),
        ({"method": "er", "balance_logits": 1.0}, "balanced"),
        ({"method": "sparcl", "sparcl.base": "er", "balance_logits": 1.5}, "balanced"),
        ({"method": "sparcl", "sparcl.base": "co2l"}, "own"),
        ({"method": "joint"}, "own"),
    ],
)
def test_a_duplicated_run_starts_as_it_was_whatever_logits_compete(settings, choice, monkeypatch, tmp_path):
    config, started = read_config(None, {"scenario": "class", "device": "cpu"} | settings), []
    assert competing.of(config) == choice
    monkeypatch.setenv("ESACL_RUNS", str(tmp_path))
    monkeypatch.setenv("ESACL_TEST_CONFIG", json.dumps(config.to_dict()))
    monkeypatch.setattr(starting.jobs, "start", lambda config, store, owner: started.append(config) or "a-run")
    monkeypatch.setattr(duplicating.results, "named", lambda entry: "a name")

    def script():
        import json
        import os
        from types import SimpleNamespace

        import streamlit as st

        from app import duplicating, refilling, starting
        from esacl.config import RunConfig

        if "begun" not in st.session_state:
            st.session_state["begun"] = True
            before = RunConfig.from_dict(json.loads(os.environ["ESACL_TEST_CONFIG"]))
            duplicating.begin(SimpleNamespace(run_id="a-run", config=before), refilling.fill)
        starting.form()

    form = AppTest.from_function(script, default_timeout=30).run()
    assert not form.exception
    form.button(key="start").click().run()
    assert started == [config]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("new-epochs-split-digits-small", 0, "epochs: 0"),
        ("new-epochs-split-digits-small", 10**6, "epochs: 1000000"),
        ("new-epochs-split-digits-small", 1.5, "epochs: 1.5"),
        ("new-seed", -1, "seed: -1"),
        ("new-seed", 99999999999999999999, "seed: 1e+20"),
        ("new-tasks-split-digits-small", 6, "tasks"),
        ("new-limit", 3, "train_limit: 3"),
        ("new-buffer-0", -5, "buffer.size: -5"),
    ],
)
def test_a_number_out_of_range_is_said_and_nothing_can_be_started(form, key, value, said):
    form.number_input(key=key).set_value(value).run()
    assert said in form.error[0].value.replace("\\", "")
    assert form.button(key="start").disabled


def test_no_field_keeps_a_number_to_itself(form):
    """Bounds of the field's own, and those of whole numbers, leave what was there before at work, without a word."""
    for field in form.number_input:
        assert field.proto.data_type == field.proto.FLOAT, field.label
        assert not field.proto.has_min
        assert not field.proto.has_max


def test_a_click_straight_from_a_field_starts_what_the_field_says(form, monkeypatch):
    started = []
    monkeypatch.setattr(starting.jobs, "start", lambda config, store, owner: started.append(config) or "a-run")
    form.number_input(key="new-seed").set_value(7)
    form.button(key="start").click().run()
    form.number_input(key="new-seed").set_value(-7)
    form.button(key="start").click().run()
    assert [config.seed for config in started] == [7]


def test_what_belongs_to_the_method_of_the_run_that_is_duplicated_stays_behind_with_it(monkeypatch):
    before = read_config(
        None, {"method": "derpp", "derpp.alpha": 0.5, "lr": 0.01, "batch_size": 32, "evaluation": "validation"}
    )
    rest = {"derpp.alpha": 0.5, "lr": 0.01, "batch_size": 32, "evaluation": "validation"}
    monkeypatch.setattr(duplicating.session, "remembered", lambda name: ("id", "name", before, rest))
    assert duplicating.carried({"method": "derpp", "sparsity": 0.0}) == rest
    assert duplicating.carried({"method": "er", "sparsity": 0.0}) == {"batch_size": 32, "evaluation": "validation"}


@pytest.mark.parametrize(
    ("chosen", "kept"),
    [
        ({}, {"sdp.cut", "pruning.flops_exponent"}),
        ({"sdp.form": "segment", "pruning.allocation": "neuron"}, {"sdp.cut", "pruning.flops_exponent"}),
        ({"sdp.form": "progressive"}, {"pruning.flops_exponent"}),
        ({"sparsity": 0.98}, {"pruning.flops_exponent"}),
        ({"pruning.allocation": "erk"}, {"sdp.cut"}),
        ({"sparsity": 0.0}, set()),
    ],
)
def test_how_a_run_was_cut_stays_behind_where_what_is_chosen_has_no_such_cut(monkeypatch, chosen, kept):
    rest = {"sdp.cut": 0.35, "pruning.flops_exponent": 0.1, "lr": 0.01}
    before = read_config(None, rest)
    monkeypatch.setattr(duplicating.session, "remembered", lambda name: ("id", "name", before, rest))
    settings = {"method": "esacl", "sparsity": 0.9, "sdp.form": None, "pruning.allocation": None} | chosen
    taken = duplicating.carried(settings)
    assert taken.keys() == kept | {"lr"}
    assert read_config(None, taken | settings).lr == 0.01


def test_an_error_names_the_control_in_the_language_of_the_reader(monkeypatch):
    line = "anchor.strength: -1 will not do; choose a number in [0, 1000000.0]"
    assert starting.labelled(line) == line
    monkeypatch.setattr(starting, "language", lambda: "zh")
    assert starting.labelled(line) == f"Anchor strength: {line}"
    assert starting.labelled("no setting at all") == "no setting at all"
