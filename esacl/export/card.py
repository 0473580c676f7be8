"""The model card beside an exported file: what the network is, how good, where from, and how to use it."""

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from esacl.export import compact, load_sparse
from esacl.export.encoding import Encoded
from esacl.export.network import FinalNetwork

_HOW = {
    "safetensors": "`safetensors.numpy.load_file(FILE)` gives the tensors by name; zeros are stored.",
    "sparse": "`load(FILE)`, the lines of numpy under Loader, gives what is known of it, and its tensors by name.",
    "onnx": "`onnxruntime.InferenceSession(FILE).run(['logits'], {'inputs': x})`; any batch size.",
}


def card(final: FinalNetwork, exported: Encoded, name: str) -> str:
    """The card of the file `name` as Markdown."""
    about, size = final.about, len(exported.data)
    return "\n".join([
        f"# {_plain(about['method'])} on {about['benchmark']}, {about['scenario']}-IL",
        "",
        f"- File: `{_plain(name)}`, {exported.form}, {size:,} bytes; "
        f"{exported.compared} the run's network as dense safetensors",
        f"- sha256: `{hashlib.sha256(exported.data).hexdigest()}`",
        f"- Network: {about['network']}, {about['activation']}; "
        f"{100 * final.sparsity:.2f}% of the prunable weights are 0"
        f"{' before shrinking' if exported.widths else ''}",
        *_widths(exported),
        f"- Made by {about['made_by']}, run `{about['run']}`, seed {about['seed']}, settings `{about['digest'][:12]}`",
        f"- Read back: logits at most {exported.apart:.1e} from those of the run's network",
        "",
        "## Accuracy",
        "",
        f"On the {_evaluation(final)} data of the run; read back here, by the file.",
        "",
        "| task | classes | output columns | by the run, % | by the file, % |",
        "|---|---|---|---|---|",
        *(
            f"| {one['task'] + 1} | {', '.join(map(_plain, one['classes']))} | {_columns(one['columns'])} "
            f"| {100 * one['accuracy']:.2f} | {100 * here:.2f} |"
            for one, here in zip(about["tasks"], exported.accuracies, strict=True)
        ),
        *_otherwise(exported),
        "",
        "## Use",
        "",
        f"- {_HOW[exported.form]}",
        f"- Inputs: float32 (n, {', '.join(map(str, about['input_shape']))}), larger images averaged to that in "
        f"blocks; pixels from 0 to 1, less {about['mean']}, over {about['std']}, by channel.",
        *_orders(about["tasks"]),
        f"- Layers: {_layers(exported.written.network)}.",
        f"- Outputs: {about['outputs']} logits. {_answer(about)}",
        "- It was trained to show a method. It knows nothing but the classes above, and answers with one of them "
        "whatever it is shown.",
        *_loader(exported.form),
        "",
    ])  # fmt: skip


def _loader(form: str) -> list[str]:
    """What reads a file that no library reads, and how it is laid out."""
    if form != "sparse":
        return []
    loader = ["", "## Loader", "", "```python", inspect.getsource(load_sparse).rstrip(), "```"]
    return [*loader, "", "## Layout", "", (compact.__doc__ or "").rstrip()]


def _otherwise(exported: Encoded) -> list[str]:
    """That the file is not right as often as the run has recorded, where that is so."""
    if not exported.differs:
        return []
    return [
        "",
        "**The run recorded another accuracy than the file has.** Its network, rebuilt here, answers as the file does: "
        "data, device or versions are not those of the run.",
    ]


def _answer(about: Mapping[str, Any]) -> str:
    if about["scenario"] == "task":
        return "The task is known: the largest among its own columns is the answer."
    meanings = {tuple(one["classes"]) for one in about["tasks"]}
    differ = about["scenario"] == "domain" and len(meanings) > 1
    return f"The largest of all is the answer{'; the columns mean something else in each task' if differ else ''}."


def _orders(tasks: Sequence[Mapping[str, Any]]) -> list[str]:
    """How a task that sees the pixels of an image in an order of its own comes by it."""
    if not any("pixel_order" in one for one in tasks):
        return []
    return [
        "- A task with `pixel_order` in what the file says of it sees its images so: of the pixels row by row the "
        "first is pixel `pixel_order[0]`, the next `pixel_order[1]`, and so on. The others see them as they are."
    ]


def _layers(network: nn.Module) -> str:
    """The layers in the order in which they come; a residual network by its name, as its blocks are no chain."""
    body = network.get_submodule("body")
    if len(list(body.children())) != sum(not list(one.children()) for one in body.children()):
        return "those of ResNet-18 (He et al. 2016), its first convolution 3x3 and no pooling behind it, then `head`"
    named = [*((f"body.{name}", one) for name, one in body.named_children()), ("head", network.get_submodule("head"))]
    return ", ".join(f"`{name}` {one}" if list(one.parameters()) else str(one) for name, one in named)


def _widths(exported: Encoded) -> list[str]:
    """How wide the layers of a network are whose idle units were left out."""
    if exported.widths is None:
        return []
    told = "; ".join(f"{_plain(name)} {before} to {after}" for name, (before, after) in exported.widths.items())
    gone = sum(before - after for before, after in exported.widths.values())
    return [f"- Shrunk: {gone} units that say nothing are left out, and no output is changed by it. Widths: {told}"]


def _evaluation(final: FinalNetwork) -> str:
    return str(final.about["evaluation"])


def _columns(columns: list[int]) -> str:
    run = columns == list(range(columns[0], columns[-1] + 1)) and len(columns) > 2
    return f"{columns[0]} to {columns[-1]}" if run else ", ".join(map(str, columns))


def _plain(text: str) -> str:
    """Text that means nothing to Markdown or HTML."""
    return "".join(c if c.isalnum() or c in " .-_+()" else " " for c in text)
