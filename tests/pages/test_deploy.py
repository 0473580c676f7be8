"""The deploy page: sizes, times and what they say; without them the way to them."""

import pytest
from streamlit.testing.v1 import AppTest
from test_pages import drawings, everything, said


def test_sizes_and_times_are_drawn_and_told(app):
    at = app("deploy", run="esacl")
    assert not at.exception
    found = drawings(at)
    assert [d["alt"].split(":")[0] for d in found] == [
        "bytes of the network", "batch of 1", "batch of 32", "batch of 256",
    ]  # fmt: skip
    shown = everything(at)
    assert "8 times smaller than dense safetensors" in shown
    assert "sparsity does **not** pay in time" in shown
    assert "10⁻⁶" in shown.partition("difference of a logit")[2]
    assert "--format onnx" in at.code[0].value
    assert "--task" not in at.code[0].value


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "packnet", "sparsity": 0.9},
        {"method": "ewc", "network": "resnet18", "batchnorm": {"statistics": "task"}},
    ],
    ids=str,
)
def test_where_each_task_has_a_network_the_commands_choose_the_one_that_was_measured(fields):
    def page(fields):
        from synthetic_run import deployment_arrays, synthetic_config

        from app import deploy_panels, deploying
        from app.reading import Entry
        from esacl.records import Status

        found, config = deploying.deployment(deployment_arrays()), synthetic_config(**fields)
        entry = Entry("a-run", recorded=False, config=config, status=Status("finished"))
        deploy_panels.take_along(entry, found, config, 2)

    at = AppTest.from_function(page, args=(fields,)).run()
    assert not at.exception
    lines = at.code[0].value.splitlines()
    assert len(lines) == 3
    assert all(line.endswith(" --task 2") for line in lines)


def test_a_run_without_measurements_says_so(app):
    at = app("deploy", run="ewc")
    assert any("have not been measured yet" in line for line in said(at))
