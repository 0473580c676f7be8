"""The deploy page: sizes, times and what they say; without them the way to them."""

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


def test_a_run_without_measurements_says_so(app):
    at = app("deploy", run="ewc")
    assert any("have not been measured yet" in line for line in said(at))
