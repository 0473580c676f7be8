"""Methods beside each other: the front, the curves, the published numbers, and what the figures say of them."""

import dataclasses
import json
import re

import pandas as pd
import pytest
from synthetic_run import accuracy, synthetic_config, synthetic_events

from app import comparison, literature, report
from app.bills import Bar
from app.figures import compared, costs, palette
from esacl.records import RunRecord, Status
from esacl.summary import summarise


def summary(run_id: str, **fields):
    config = synthetic_config(**fields)
    return summarise(RunRecord(run_id, config, Status("finished"), tuple(synthetic_events(config)), (), {}))


@pytest.fixture(scope="module")
def groups():
    runs = [summary(f"{method}{seed}", method=method, seed=seed) for method in ("ewc", "esacl") for seed in range(3)]
    return comparison.groups([*runs, summary("deep", sparsity=0.95)])


def texts(drawing):
    return [mark["text"] for mark in drawing["marks"] if "text" in mark]


def looks(drawing):
    return [mark["at"].get("class", "") for mark in drawing["marks"]]


def test_groups_come_in_the_order_of_the_methods_and_twins_have_letters(groups):
    assert [(g.label, g.tag, g.row["n"]) for g in groups] == [
        ("EsaCL, 90\u00a0%", "a", 3), ("EsaCL, 95\u00a0%", "b", 1), ("EWC, dense", "", 3),
    ]  # fmt: skip
    assert [g.tag for g in comparison.tagged(groups[1:])] == ["", ""]


def test_every_method_has_a_look_of_its_own_in_shape_and_dash_too():
    assert set(palette.METHODS) >= {"esacl", "finetune", "joint", "ewc", "er", "derpp", "packnet", "rigl", "sparcl"}
    assert len({palette.look(name) for name in palette.METHODS}) == len(palette.METHODS)
    assert len({(palette.shape(name), palette.dash(name)) for name in palette.METHODS}) == len(palette.METHODS)


@pytest.mark.parametrize(
    ("points", "less", "on"),
    [
        ([(1, 0.9), (2, 0.8), (3, 0.95)], True, [True, False, True]),
        ([(1, 0.9), (2, 0.8), (3, 0.95)], False, [False, False, True]),
        ([(1, 0.9), (1, 0.9), (1, 0.8)], True, [True, True, False]),
        ([(0.5, 0.9), (0.9, 0.8), (0.9, 0.7)], False, [True, True, False]),
        ([], True, []),
    ],
)
def test_the_front_is_what_nothing_beats_in_both(points, less, on):
    assert comparison.front([x for x, _ in points], [y for _, y in points], less_is_better=less) == on


def test_joint_training_beats_nobody_off_the_front_and_is_not_on_it(groups):
    before = comparison.tradeoff(groups, "flops").set_index("label")["front"]
    frame = comparison.tradeoff([*groups, *comparison.groups([summary("j", method="joint", sparsity=0.0)])], "flops")
    assert frame.set_index("label")["front"].drop("joint training, dense").equals(before)
    assert not frame.loc[frame["method"] == "joint", "front"].any()


def test_curves_are_means_over_seeds(groups):
    frame = comparison.on_tasks(groups)
    last = frame[(frame["label"] == "EWC, dense") & (frame["after"] == 2)]
    expected = [accuracy(synthetic_config(method="ewc"), 2, on) for on in range(3)]
    assert last["value"].tolist() == pytest.approx(expected)
    assert (last["n"] == 3).all()
    assert len(frame) == 3 * 6  # the lower half of each matrix
    so_far = comparison.so_far(groups)
    end = so_far[(so_far["label"] == "EWC, dense") & (so_far["after"] == 2)]
    assert end["value"].tolist() == pytest.approx([sum(expected) / 3])
    assert so_far["sd"].isna().sum() == 3  # one seed has no deviation


def test_with_the_task_known_the_other_matrix_is_read():
    found = comparison.groups([summary("c", scenario="class")])
    plain, known = (comparison.tradeoff(found, "flops", task_known=flag)["y"].iloc[0] for flag in (False, True))
    assert known > plain
    assert comparison.tradeoff(comparison.groups([summary("t")]), "flops", task_known=True).empty


@pytest.mark.parametrize("axis", comparison.AXES)
def test_the_figure_rings_the_front_and_says_so(groups, axis):
    frame = comparison.tradeoff(groups, axis)
    frame["y_sd"] = frame["y_sd"].fillna(0.0) + 0.01
    drawing = compared.tradeoff(frame, axis)
    json.dumps(drawing, allow_nan=False)
    assert sum(look.startswith("frame") for look in looks(drawing)) == frame["front"].sum() > 0
    assert drawing["alt"].endswith(f"On the Pareto front: {', '.join(frame.loc[frame['front'], 'label'])}.")
    assert {"mark esacl", "mark ewc"} <= set(looks(drawing))
    assert looks(drawing).count("line thin esacl") == 2  # bars of ± sd
    assert {"a", "b"} <= set(texts(drawing))


def test_the_step_line_goes_through_the_front_from_the_cheapest_on():
    frame = pd.DataFrame(
        [("p", "", "esacl", 1, x, 0.0, y, 0.0, on) for x, y, on in [(1, 0.6, True), (2, 0.5, False), (3, 0.9, True)]],
        columns=["label", "tag", "method", "n", "x", "x_sd", "y", "y_sd", "front"],
    )  # fmt: skip
    line = next(m for m in compared.tradeoff(frame, "memory")["marks"] if m["at"].get("class") == "line thin")
    pixels = [tuple(map(float, pair)) for pair in re.findall(r"[ML]([\d.]+) ([\d.]+)", line["at"]["d"])]
    assert len(pixels) == 4
    assert pixels[0][1] == pixels[1][1] > pixels[2][1] == pixels[3][1]
    assert pixels[1][0] == pixels[2][0]


def test_costs_far_apart_get_a_log_axis_with_ticks(groups):
    frame = comparison.tradeoff(groups, "flops")
    frame["x"] = [1e9, 4e9, 6e10]
    assert {"2·10⁹", "10¹⁰", "5·10¹⁰"} <= set(texts(compared.tradeoff(frame, "flops")))


def test_the_other_figures_have_a_mark_for_each_group_and_words(groups):
    frame, on_tasks = comparison.so_far(groups), comparison.on_tasks(groups)
    drawings = [
        compared.so_far(frame, 3), compared.at_the_end(on_tasks, 3), compared.legend(frame),
        *compared.each_task(on_tasks, 3),
    ]  # fmt: skip
    for drawing in drawings:
        json.dumps(drawing, allow_nan=False)
        assert {"mark esacl", "mark ewc"} <= set(looks(drawing))
        assert len(drawing["alt"]) > 15
    assert "a: EsaCL, 90\u00a0%" in texts(drawings[2])
    assert len(drawings) == 6


# Published numbers


def test_references_stand_beside_the_same_stream_only():
    both = {s: literature.references("split-cifar10", s, 5, 10) for s in ("class", "task")}
    assert {r.written: r.accuracy for r in both["class"]}["DER++, buffer 500"] == 0.7270
    assert {r.written: r.accuracy for r in both["task"]}["ER, buffer 200"] == 0.9119
    tiny = literature.references("split-tiny-imagenet", "class", 10, 200)
    assert {r.written: r.accuracy for r in tiny}["joint training"] == 0.5999
    assert all(r.source and 0 < r.accuracy < 1 for r in [*both["class"], *both["task"], *tiny])
    assert literature.references("split-tiny-imagenet", "class", 10, 40) == []
    assert literature.references("split-cifar10", "class", 2, 4) == []
    assert literature.references("split-mnist", "task", 5, 10) == []
    assert literature.references("split-cifar10", "domain", 5, 10) == []


def test_a_published_number_has_the_look_of_a_method_here():
    streams = ("split-cifar10", "task", 5, 10), ("split-tiny-imagenet", "class", 10, 200)
    found = [reference for stream in streams for reference in literature.references(*stream)]
    assert {r.method for r in found} <= palette.METHODS.keys()


def test_published_numbers_are_of_test_images_and_stay_away_from_others():
    def shown(evaluation):
        found = summary("a", benchmark="split-cifar10", scenario="class", tasks=5, evaluation=evaluation)
        return report.published(comparison.groups([found | {"network": {"classes": 10}}]))

    assert shown("test")
    assert shown("validation") == []


def test_published_marks_are_hollow_and_tell_their_source(groups):
    marks = literature.references("split-cifar10", "task", 5, 10)
    drawing = compared.tradeoff(comparison.tradeoff(groups, "flops"), "flops", marks)
    hollow = [mark for mark in drawing["marks"] if mark["at"].get("class", "").startswith("open")]
    assert len(hollow) == len(marks) == 8
    assert "Published, beside the axes: joint training 98.3\u00a0%; " in drawing["alt"]
    assert "Published" not in compared.tradeoff(comparison.tradeoff(groups, "flops"), "flops")["alt"]
    assert all("Buzzega" in mark["tip"] or "Cha et al." in mark["tip"] for mark in hollow)
    right = max(mark["at"].get("cx", 0) for mark in drawing["marks"] if mark["at"].get("class") == "mark esacl")
    assert all(float(re.findall(r"[\d.]+", str(m["at"].get("points", m["at"].get("cx"))))[0]) > right for m in hollow)
    assert "mean of 10" in literature.caption(marks, False)
    assert "another setting" in literature.caption(marks, True)
    assert literature.caption([], True) == ""


def test_the_source_of_published_marks_fits_below_their_figure(groups):
    frame = comparison.tradeoff(groups, "flops")
    marks = literature.references("split-cifar10", "task", 5, 10)
    assert "source" not in compared.tradeoff(frame, "flops")
    drawing = compared.tradeoff(frame, "flops", marks)
    (line,) = drawing["source"]["marks"]
    assert "(Buzzega et al. 2020; Cha et al. 2021)" in line["text"]
    assert drawing["source"]["width"] <= drawing["width"]


# The report


def test_a_report_has_a_section_for_each_family_and_runs_no_text(groups):
    markup = dataclasses.replace(groups[0], row={**groups[0].row, "name": "<script>alert(1)</script>"})
    other = comparison.groups([summary("d", benchmark="permuted-mnist", scenario="domain")])
    page = report.page([markup, *groups[1:], *other]).decode()
    assert page.count("<h2>") == 2
    assert "split-digits, task-IL, 3 tasks" in page
    assert "permuted-mnist, domain-IL, 3 tasks" in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search(r"(src|href)=\"?http|@import", page)


def test_the_report_as_a_process_says_what_is_wrong_in_one_line(tmp_path, capsys):
    assert report.main(["nothing", "--runs", str(tmp_path), "--out", str(tmp_path / "t.html")]) == 2
    assert capsys.readouterr().err.startswith("error: no run")


def test_an_unequal_effort_is_said_in_a_line_and_in_every_name():
    found = comparison.groups([summary("a"), summary("b", method="ewc", epochs=5, train_limit=40)])
    assert [group.label for group in found] == [
        "EsaCL, 90\u00a0%, train_limit=None, epochs=3",
        "EWC, dense, train_limit=40, epochs=5",
    ]
    assert comparison.unequal(found) == "These methods were not given the same: train_limit all, 40; epochs 3, 5."
    assert comparison.unequal(found[:1]) == ""


def test_what_sparcl_is_laid_over_is_in_its_name():
    (group,) = comparison.groups([summary("a", method="sparcl", sparcl={"base": "er"})])
    assert group.label == "SparCL over ER, 200 images, 90\u00a0%"


def test_a_method_that_rehearses_is_named_with_its_buffer_and_with_what_is_done_to_its_logits():
    runs = [
        summary("a", method="er", scenario="class", mask_logits=True, buffer={"size": 500}),
        summary("b", method="er", scenario="class", buffer={"size": 5000}),
        summary("c", scenario="class", buffer={"size": 500}),
        summary("d", method="er", buffer={"size": 1}),
    ]
    found = comparison.groups(runs)
    assert sorted(group.label for group in found) == [
        "ER, 1 image, dense",
        "ER, 500 images, masked logits, dense", "ER, 5\u00a0000 images, dense",
        "EsaCL, 500 images, balanced logits 1.25, 90\u00a0%",
    ]  # fmt: skip
    assert comparison.unequal(found).startswith("These methods were not given the same: buffer.size 500, ")
    page = report.page(found).decode()
    assert "mask_logits" in page
    assert "ER, 500 images, masked logits, dense" in page


def test_means_over_runs_of_several_versions_and_processors_are_told_of():
    def made(seed: int, code: str, cpu: str) -> dict:
        machine = {"versions": {"esacl": "0.2"}, "code": code, "hardware": {"cpu": cpu}}
        config = synthetic_config(seed=seed)
        events = tuple(synthetic_events(config))
        return summarise(RunRecord(f"{seed}", config, Status("finished"), events, (), machine))

    one, other, third = made(0, "aaaaaaaa", "A"), made(1, "bbbbbbbb", "A"), made(2, "bbbbbbbb", "B")
    told = "Means over runs of 2 versions: EsaCL, 90\u00a0%. Means over runs of 2 processors: EsaCL, 90\u00a0%."
    found = comparison.groups([one, other, third])
    assert comparison.mixed(found) == told
    assert "Means over runs of 2 versions" in report.page(found).decode()
    assert comparison.mixed(comparison.groups([other])) == ""


def test_a_long_name_takes_two_lines_of_the_legend_and_of_the_bars():
    long = summary("a", method="sparcl", scenario="class", buffer={"size": 500}), summary("b", scenario="class")
    found = comparison.tagged(comparison.groups(long))
    legend = compared.legend(comparison.tradeoff(found, "flops"))
    name = "SparCL over DER++, 500 images, masked logits, 90\u00a0%"
    assert texts(legend) == ["EsaCL, 90\u00a0%", "SparCL over DER++, 500 images,", "masked logits, 90\u00a0%"]
    assert legend["width"] < 390  # pixels of a phone
    lowest = max(mark["at"]["y"] for mark in legend["marks"] if mark["tag"] == "text")
    assert lowest < legend["height"]
    bars = costs.bars([Bar("this run", 1.0), Bar(name, 2.0)], "time", "s", str)
    assert texts(bars)[-3:-1] == ["SparCL over DER++, 500 images,", "masked logits, 90\u00a0%"]


def test_no_band_leaves_the_accuracies_that_there_are():
    frame = pd.DataFrame(
        [("x", "", "esacl", after, 0, 0.995, 0.02, 3) for after in range(2)],
        columns=["label", "tag", "method", "after", "on", "value", "sd", "n"],
    )
    drawing = compared.so_far(frame, 2)
    (band,) = [mark for mark in drawing["marks"] if "area" in mark["at"].get("class", "")]
    heights = [float(point.split(",")[1]) for point in band["at"]["points"].split()]
    (top,) = {point["at"]["cy"] for point in drawing["marks"] if point["tag"] == "circle"}
    assert min(heights) < top
    ticks = [mark["text"] for mark in drawing["marks"] if mark["tag"] == "text" and "%" in mark["text"]]
    assert len(ticks) == len(set(ticks))
    scale = 30, 310 - 46  # where the panel begins and ends
    assert scale[0] <= min(heights) < max(heights) <= scale[1]


def test_ticks_of_accuracies_that_lie_close_are_told_apart():
    frame = pd.DataFrame(
        [("x", "", "esacl", after, 0, 0.9011 + after / 2000, float("nan"), 1) for after in range(2)],
        columns=["label", "tag", "method", "after", "on", "value", "sd", "n"],
    )
    ticks = [mark["text"] for mark in compared.so_far(frame, 2)["marks"] if "%" in mark.get("text", "")]
    assert len(ticks) == len(set(ticks)) > 2
