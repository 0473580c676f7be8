"""A finished run's network elsewhere: without torch it answers every example as the run did."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from idx_files import write_mnist
from pages_runs import lost
from tiny_runs import recorded

from app import deploying
from esacl import durable, exporting, keeping, networks
from esacl.analysis import deployment
from esacl.cli import main
from esacl.config import RunConfig
from esacl.errors import InputError
from esacl.export import card as cards
from esacl.export import encoding
from esacl.export.encoding import FORMATS, Encoded
from esacl.export.network import about_of
from esacl.exporting import export_network, network_of
from esacl.store import RunStore
from esacl.tasks import task_stream

FINE = {"epochs": 4, "train_limit": None, "tasks": 3, "sparsity": 0.95}

BY_NUMPY = """
import sys
sys.modules.update(torch=None, esacl=None, onnxruntime=None)
import json, numpy as np
from loader import load
header, w = load(sys.argv[1])
def logits(x):
    x = x.reshape(len(x), -1)
    for name in ("body.hidden1", "body.hidden2"):
        x = np.maximum(x @ w[name + ".weight"].T + w[name + ".bias"], 0)
    return x @ w["head.weight"].T + w["head.bias"]
"""
BY_ONNX = """
import sys
sys.modules.update(torch=None, esacl=None)
import json, numpy as np, onnxruntime as ort
session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
header = json.loads(session.get_modelmeta().custom_metadata_map["esacl"])
def logits(x):
    return np.concatenate([session.run(["logits"], {"inputs": x[i:i + 7]})[0] for i in range(0, len(x), 7)])
"""
JUDGE = """
data, right = np.load(sys.argv[2]), []
for one in header["tasks"]:
    k, columns = one["task"], np.array(one["columns"])
    right.append(int((columns[logits(data[f"x{k}"])[:, columns].argmax(1)] == data[f"y{k}"]).sum()))
print(json.dumps(right))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> RunStore:
    return RunStore(tmp_path_factory.mktemp("export") / "runs")


@pytest.fixture(scope="module")
def fine(store) -> str:
    return recorded(store, FINE)


@pytest.fixture(scope="module")
def final(store, fine):
    return network_of(store, fine)


def elsewhere(folder: Path, script: str, path: Path, final) -> list[int]:
    """How many of each task a process gets right that has the file, its card, and neither torch nor this package."""
    card = path.with_name(path.name + ".md").read_text()
    (folder / "loader.py").write_text(card.partition("```python\n")[2].partition("```")[0])
    judged = list(final.judged())
    np.savez(folder / "data.npz", **{f"x{k}": e.inputs.numpy() for k, e, _ in judged},
             **{f"y{k}": e.targets.numpy() for k, e, _ in judged})  # fmt: skip
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n{script}{JUDGE}"
    done = subprocess.run([sys.executable, "-I", "-c", code, str(path), str(folder / "data.npz")],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("form", "script"), [("sparse", BY_NUMPY), ("onnx", BY_ONNX)])
def test_without_torch_every_example_is_answered_as_in_the_run(tmp_path, final, form, script):
    if form == "onnx":
        pytest.importorskip("onnxruntime")
    export_network(final, form, tmp_path / f"net.{form}")
    sizes = [len(examples) for _, examples, _ in final.judged()]
    assert final.accuracies[0] > 0.9
    assert elsewhere(tmp_path, script, tmp_path / f"net.{form}", final) == [
        round(accuracy * n) for accuracy, n in zip(final.accuracies, sizes, strict=True)
    ]


def test_every_list_of_formats_is_the_same():
    assert ("bundle", *FORMATS) == keeping.FORMATS
    assert tuple(deploying.FORMATS) == tuple(deploying.SHRUNK_FORMATS) == tuple(FORMATS)
    assert tuple(deploying.ENGINES) == deployment.ENGINES


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_comes_with_a_card_that_tells_what_it_is(tmp_path, final, fine, form):
    if form == "onnx":
        pytest.importorskip("onnxruntime")
    done, card = export_network(final, form, tmp_path / f"net.{form}")
    assert (tmp_path / f"net.{form}").read_bytes() == done.data
    assert done.accuracies == final.accuracies
    assert done.apart <= (1e-4 if form == "onnx" else 0)
    text = card.read_text()
    assert card == tmp_path / f"net.{form}.md"
    assert f"run `{fine}`" in text
    assert f"{len(done.data):,} bytes" in text
    assert "95.0" in text
    assert f"| 1 | 0, 1 | 0, 1 | {100 * final.accuracies[0]:.2f} | {100 * final.accuracies[0]:.2f} |" in text
    assert not list(tmp_path.glob(".*"))


def test_the_file_of_permuted_mnist_has_the_orders_of_its_pixels_and_the_card_says_so(tmp_path):
    write_mnist(tmp_path)
    config = RunConfig(benchmark="permuted-mnist", tasks=2)
    stream = task_stream(config, tmp_path)
    about = about_of(config, "a-run", stream, (0, 1), (0.5, 0.5))
    first, second = json.loads(json.dumps(about))["tasks"]
    assert "pixel_order" not in first
    assert second["pixel_order"] == stream[1].order.tolist()
    assert "sees its images so" in cards._orders(about["tasks"])[0]
    assert cards._answer(about) == "The largest of all is the answer."
    config = RunConfig(scenario="domain")
    split = about_of(config, "a-run", task_stream(config), (0, 1), (0.5, 0.5))
    assert cards._orders(split["tasks"]) == []
    assert "the columns mean something else in each task" in cards._answer(split)


@pytest.mark.parametrize(("network", "told"), [
    ("mlp", "`body.hidden1` Linear(in_features=64, out_features=100, bias=True), ReLU()"),
    ("small-cnn", "MaxPool2d(kernel_size=2"),
    ("resnet18", "those of ResNet-18"),
])  # fmt: skip
def test_the_card_names_the_layers_in_their_order(network, told):
    config = RunConfig(network=network)
    assert told in cards._layers(networks.build(config, task_stream(config)))


def test_a_file_that_answers_otherwise_is_not_left(tmp_path, final, monkeypatch):
    def off(one):
        tensors = one.tensors()
        return encoding.as_compact(tensors | {"head.bias": tensors["head.bias"] + 0.01}, one.about)

    monkeypatch.setitem(encoding.FORMATS, "sparse", (off, encoding.FORMATS["sparse"][1]))
    with pytest.raises(InputError, match="from the run's own; nothing was written"):
        export_network(final, "sparse", tmp_path / "net.sparse")
    assert list(tmp_path.iterdir()) == []


def test_every_example_is_held_to_its_own_logits_and_only_a_tie_may_be_answered_otherwise():
    ours = torch.tensor([[1e6, 0.0], [1.0, 0.9], [1.0, 1.0 - 1e-7]])
    targets = torch.tensor([0, 0, 0])
    right = SimpleNamespace(correct=lambda logits, wanted: logits.argmax(1) == wanted)
    final = SimpleNamespace(
        judged=lambda: iter([(0, SimpleNamespace(inputs=torch.zeros(3, 1), targets=targets), right)]),
        outputs=lambda inputs: ours,
    )
    tie = ours.clone()
    tie[2] = torch.tensor([1.0 - 1e-6, 1.0])
    assert encoding._held(final, lambda inputs: tie.numpy())[0] == pytest.approx((2 / 3,))
    other = ours.clone()
    other[1] = torch.tensor([0.9, 1.0])  # no more than the first example's logits allow
    with pytest.raises(InputError, match="answers 1 examples otherwise than the run's network; nothing was written"):
        encoding._held(final, lambda inputs: other.numpy())


def test_a_file_right_otherwise_than_the_run_recorded_says_so(store, fine, final, tmp_path, capsys, monkeypatch):
    words = ["--format", "sparse", "--runs", str(store.root)]
    assert main(["export", fine, str(tmp_path / "same"), *words]) == 0
    assert "recorded" not in capsys.readouterr().out
    assert "recorded another accuracy" not in (tmp_path / "same.md").read_text()
    recorded_otherwise = replace(final, accuracies=(0.5, *final.accuracies[1:]))
    monkeypatch.setattr("esacl.exporting.network_of", lambda *_: recorded_otherwise)
    assert main(["export", fine, str(tmp_path / "other"), *words]) == 0
    mean = 100 * np.mean(recorded_otherwise.accuracies)
    assert f"% right, where the run recorded {mean:.2f}%, task by task in the card" in capsys.readouterr().out
    assert "**The run recorded another accuracy than the file has.**" in (tmp_path / "other.md").read_text()


def test_the_card_of_a_sparse_file_has_its_loader_in_thirty_lines_and_its_layout(tmp_path, final):
    text = export_network(final, "sparse", tmp_path / "net")[1].read_text()
    loader = text.partition("```python\n")[2].partition("```")[0]
    assert len(loader.splitlines()) <= 30
    layout = text.partition("## Layout\n\n")[2]
    assert all(f"\n    {name} " in layout for name in ("8 bytes", "4 bytes", "header", "rest", "bitmask", "gaps"))
    assert "## Layout" not in export_network(final, "safetensors", tmp_path / "dense")[1].read_text()


def test_a_tensor_that_the_file_lacks_is_noticed(tmp_path, final, monkeypatch):
    def lacking(one):
        return encoding.as_compact({n: t for n, t in one.tensors().items() if n != "head.bias"}, one.about)

    monkeypatch.setitem(encoding.FORMATS, "sparse", (lacking, encoding.FORMATS["sparse"][1]))
    with pytest.raises(InputError, match="nan from the run's own"):
        export_network(final, "sparse", tmp_path / "net.sparse")


KINDS = [
    {"method": "packnet", "sparsity": 0.8},
    {"network": "small-cnn", "scenario": "class", "method": "ewc"},
    {"scenario": "domain"},
    {"method": "joint"},
    {"activation": "softplus"},
]


def exported_as_it_was(store, settings, form, path) -> None:
    task = 0 if settings.get("method") == "packnet" else None
    one = network_of(store, recorded(store, settings), task=task)
    assert export_network(one, form, path)[0].accuracies == one.accuracies


@pytest.mark.parametrize("settings", KINDS, ids=str)
def test_every_kind_of_run_is_exported_as_it_was(tmp_path, store, settings):
    exported_as_it_was(store, settings, "sparse", tmp_path / "net")


@pytest.mark.slow
@pytest.mark.parametrize("settings", [*KINDS, {"network": "resnet18", "epochs": 1}], ids=str)
def test_every_kind_of_run_is_exported_as_onnx_as_it_was(tmp_path, store, settings):
    pytest.importorskip("onnxruntime")
    settings = settings if settings.get("network") != "resnet18" else settings | {"batchnorm.statistics": "shared"}
    exported_as_it_was(store, settings, "onnx", tmp_path / "net")


def test_a_network_for_each_task_is_to_be_chosen(store):
    run_id = recorded(store, {"method": "packnet", "sparsity": 0.8})
    with pytest.raises(InputError, match=r"packnet masks the weights of later ones.*--task K"):
        network_of(store, run_id)
    first, last = (network_of(store, run_id, task=k) for k in (0, 1))
    assert first.tasks == (0,)
    assert first.sparsity > last.sparsity


def test_a_run_that_has_not_finished_is_not_exported(store, tmp_path):
    run_id = recorded(store, {"seed": 5})
    (store.folder(run_id) / "done.json").unlink()
    with pytest.raises(InputError, match=r"is lost, not finished.*esacl resume"):
        network_of(store, run_id)


def test_a_run_without_its_last_checkpoint_is_not_exported(store):
    run_id = recorded(store, {"seed": 6})
    for path in (store.folder(run_id) / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="no checkpoint of its end"):
        network_of(store, run_id)


def test_the_commands(store, fine, tmp_path, capsys):
    path = tmp_path / "net.sparse"
    assert main(["export", fine, "--format", "sparse", "--out", str(path), "--runs", str(store.root), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] == path.stat().st_size
    assert told["dense_bytes"] > 5 * told["bytes"]
    assert main(["export", fine, str(tmp_path / "net.safetensors"), "--format", "safetensors",
                 "--runs", str(store.root)]) == 0  # fmt: skip
    assert ", as large as dense safetensors; " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("size", "told"), [
        (50, "2.0 times smaller than"), (99, "about as large as"), (100, "as large as"), (101, "about as large as"),
        (110, "1.1 times larger than"),
    ],
)
def test_a_file_that_is_larger_is_not_called_smaller(final, size, told):
    assert Encoded("onnx", final, bytes(size), 100, (), 0.0).compared == told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--format", "sparse"], "say once where to write"),
        (["a", "--out", "b"], "say once where to write"),
        (["a", "--task", "1"], "--task chooses a network, and a bundle holds the run"),
        (["a", "--format", "onnx", "--checkpoints"], "--checkpoints belongs to a bundle"),
        (["a", "--format", "sparse", "--task", "9"], "task 9 is not in the run; choose 0 to 2"),
        (["no/such/folder/net", "--format", "sparse"], "cannot be written (No such file or directory)"),
        ([".", "--format", "sparse"], ". is a folder; name a file, network say"),
        (["", "--format", "sparse"], ". is a folder; name a file, network say"),
        (["/dev/null", "--format", "sparse"], "/dev/null is no file; name another"),
        (["/dev/null"], "/dev/null is no file; name another"),
    ],
)
def test_bad_commands_are_one_line(store, fine, capsys, monkeypatch, tmp_path, words, told):
    monkeypatch.chdir(tmp_path)
    assert main(["export", fine, *words, "--runs", str(store.root)]) == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_where_the_card_cannot_go_no_file_is_written(store, fine, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("esacl.exporting.network_of", lambda *_: pytest.fail("it is refused before the work"))
    (tmp_path / "net.md").mkdir()
    assert main(["export", fine, str(tmp_path / "net"), "--format", "sparse", "--runs", str(store.root)]) == 2
    assert f"{tmp_path / 'net.md'} is a folder; the model card would be there" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["net.md"]


def test_an_export_is_put_over_an_earlier_one_of_the_run_and_over_nothing_else(store, fine, final, tmp_path):
    net, card = tmp_path / "net", tmp_path / "net.md"
    export_network(final, "safetensors", net)
    small = export_network(final, "sparse", net)[0]
    assert net.read_bytes() == small.data
    theirs = network_of(store, recorded(store, {"seed": 8}))
    ours = card.read_bytes()
    for path, data, told in [
        (net, small.data + b"!", f"{net} is there and is no file that the model card of run {fine} describes"),
        (card, b"# My project\n", f"{card} is there and is no model card of run {fine}, which goes there"),
        (card, ours.replace(b"Made by", b"made by"), f"{card} is there and is no model card"),
        (card, None, f"{net} is there and is no file that the model card of run {fine}"),
    ]:
        net.write_bytes(small.data)
        card.write_bytes(ours)
        path.unlink() if data is None else path.write_bytes(data)
        with pytest.raises(InputError, match=f"^{told}.*; name another file, or remove it$"):
            export_network(final, "sparse", net)
        assert data is None or path.read_bytes() == data
    card.write_bytes(ours)
    with pytest.raises(InputError, match=f"no model card of run {theirs.about['run']}"):
        export_network(theirs, "sparse", net)
    assert (net.read_bytes(), card.read_bytes()) == (small.data, ours)


@pytest.mark.parametrize("earlier", [False, True])
def test_where_the_card_fails_at_last_what_was_there_before_is_there_again(final, tmp_path, monkeypatch, earlier):
    net = tmp_path / "net"
    before = export_network(final, "safetensors", net)[0].data if earlier else None

    def full(path, data):
        if path.suffix == ".md":
            raise InputError(f"{path} cannot be written (No space left on device)")
        durable.write_out(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(exporting, "write_out", full)
        with pytest.raises(InputError, match="No space left"):
            export_network(final, "sparse", net)
    assert (net.read_bytes() if net.exists() else None) == before
    assert export_network(final, "sparse", net)[0].data == net.read_bytes()


@pytest.mark.parametrize("form", ["bundle", "sparse"])
def test_nothing_is_exported_into_the_runs_folder(store, fine, capsys, monkeypatch, form):
    monkeypatch.setattr("esacl.exporting.network_of", lambda *_: pytest.fail("it is refused before the work"))
    path = store.folder(fine) / "label.json"
    before = sorted(store.folder(fine).iterdir())
    assert main(["export", fine, str(path), "--format", form, "--runs", str(store.root)]) == 2
    assert f"{path} lies in the runs folder" in capsys.readouterr().err
    assert sorted(store.folder(fine).iterdir()) == before


def test_a_missing_library_is_one_line(tmp_path, final, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"ONNX needs onnx, which is not installed; pip install 'esacl\[export\]'"):
        export_network(final, "onnx", tmp_path / "net.onnx")


def test_a_run_of_which_the_process_died_is_told(store):
    run_id = lost(store, recorded(store, {"seed": 7}))
    with pytest.raises(InputError, match="not finished"):
        network_of(store, run_id)
