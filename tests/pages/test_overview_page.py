"""The overview: what its cards say of their figures, and the keys to the marks in these."""

import json

from app.wording import number
from esacl.store import RunStore


def alts(at):
    protos = [element.proto for element in at.main if hasattr(element, "proto")]
    shown = [json.loads(p.json) for p in protos if getattr(p, "component_name", "") == "esacl_drawings"]
    return [drawing["alt"] for data in shown for drawing in data["drawings"]]


def test_the_estimate_is_that_of_the_images_that_are_framed(app, runs):
    arrays = RunStore(runs["root"]).array(runs["esacl"], "selection-t2")
    names = [str(name) for name in arrays["estimate_names"]]
    first = number(float(arrays["estimate_each"][names.index("IDS")][0]))
    assert first != number(float(arrays["estimate_lambda_max"][names.index("IDS")]))
    (said,) = [caption.value for caption in app("start", run="esacl").caption if "framed here" in caption.value]
    assert f"at {first};" in said.replace("\\", "")


def test_the_marks_of_the_sharpness_have_their_key(app):
    found = alts(app("start", run="esacl"))
    key = found.index("Circle: dense; Diamond: pruned; Square: pruned, survivors only")
    assert "before and after the cut" in found[key + 1]
    assert "after each task" in " ".join(alts(app("start", run="dense")))
