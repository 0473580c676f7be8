"""Runs as rows: what is grouped, what is told apart, and that means and deviations are those of the seeds."""

import re
import statistics

import pytest
from synthetic_run import synthetic_config, synthetic_events

from esacl import comparing, outcomes, printing
from esacl.records import RunRecord, Status
from esacl.summary import summarise


def summary(run_id: str, state: str = "finished", machine=None, **fields):
    config = synthetic_config(**fields)
    measured = ({"events": 1, "seconds": 2.0 + config.seed, "peak_bytes": 100},)
    return summarise(RunRecord(run_id, config, Status(state), tuple(synthetic_events(config)), measured, machine or {}))


def test_runs_that_differ_in_seed_name_device_and_threads_are_one_group():
    runs = [summary("b", seed=1, name="x", threads=2), summary("a", seed=0), summary("c", seed=2, device="auto")]
    (group,) = outcomes.groups(runs)
    assert (group["n"], group["seeds"], group["runs"], group["name"]) == (3, [0, 1, 2], ["a", "b", "c"], "")
    assert group["seconds"] == 3.0
    assert group["seconds_sd"] == 1.0  # sample standard deviation of 2, 3, 4
    rows = [outcomes.row(run) for run in runs]
    for name in ("average_accuracy", "pruning_drop", "train_flops", "kept_bytes"):
        assert group[name] == pytest.approx(statistics.fmean(r[name] for r in rows))
        assert group[f"{name}_sd"] == pytest.approx(statistics.stdev(r[name] for r in rows))


def test_a_group_keeps_its_identity_when_a_further_seed_has_finished():
    (before,) = outcomes.groups([summary("a", seed=0)])
    after, other = outcomes.groups([summary("b", seed=1), summary("a", seed=0), summary("c", epochs=9)])
    assert after["identity"] == before["identity"] != other["identity"]


def test_a_seed_counts_once_by_its_newest_run():
    (group,) = outcomes.groups([summary("2", seed=0), summary("1", seed=0), summary("3", seed=1)])
    assert (group["n"], group["runs"], group["repeats"]) == (2, ["2", "3"], ["1"])
    assert "left out, repeats of a seed: 1" in comparing.as_table([group])


def test_what_decides_the_numbers_tells_groups_apart_and_is_named():
    runs = [summary("1"), summary("2", epochs=5), summary("3", method="ewc"), summary("4", state="failed")]
    groups = outcomes.groups(runs)
    assert [group["runs"] for group in groups] == [["1"], ["2"], ["3"], ["4"]]
    assert [group["settings"] for group in groups] == ["epochs=3", "epochs=5", "", "epochs=3"]
    assert groups[0]["average_accuracy_sd"] is None


def test_what_a_fair_comparison_has_equal_is_said_of_every_method_where_it_is_not():
    equal = [summary("1"), summary("2", method="ewc"), summary("3", scenario="class", epochs=9)]
    assert [group["settings"] for group in outcomes.groups(equal)] == ["", "", ""]  # the third answers another question
    apart = [summary("1"), summary("2", method="ewc", epochs=5)]
    assert [group["settings"] for group in outcomes.groups(apart)] == ["epochs=3", "epochs=5"]
    most = [*apart, summary("3", method="er")]
    assert [group["settings"] for group in outcomes.groups(most)] == ["", "epochs=5", ""]
    assert outcomes.unequal(outcomes.groups(apart)) == {"epochs": [3, 5]}
    assert outcomes.unequal(outcomes.groups(equal[:2])) == {}
    harder = [summary("1"), summary("2", method="er", batch_size=64, augment="crop-flip")]
    assert set(outcomes.unequal(outcomes.rows(harder))) == {"batch_size", "augment"}


def test_buffers_are_compared_among_the_methods_that_rehearse():
    rehearsing = [summary("1", method="er"), summary("2", method="derpp", buffer={"size": 5000}), summary("3")]
    rows = outcomes.groups(rehearsing)
    assert [row["buffer"] for row in rows] == [200, 5000, None]
    assert outcomes.unequal(rows) == {"buffer.size": [200, 5000]}
    assert outcomes.unequal([rows[0], rows[2]]) == {}  # EsaCL goes without
    twins = [summary("1", method="er"), summary("2", method="er", buffer={"size": 500})]
    assert [row["settings"] for row in outcomes.groups(twins)] == ["", ""]  # `buffer` tells them apart


def test_masked_and_balanced_logits_are_compared_in_class_il_where_a_method_could_have_them():
    def named(method: str, **more) -> dict:
        return summary(method, method=method, scenario="class", **more)

    masked, balanced = named("er", mask_logits=True), named("ewc", balance_logits=1.25)
    rows = outcomes.groups([masked, balanced, named("finetune")])
    assert [row["logits"] for row in rows] == ["masked", "balanced 1.25", ""]
    assert outcomes.unequal(rows) == {"mask_logits": [True, False], "balance_logits": [0.0, 1.25]}
    co2l = named("sparcl", sparcl={"base": "co2l"}, buffer={"size": 200})
    assert outcomes.unequal(outcomes.groups([masked, named("joint"), co2l])) == {}  # which have none to mask
    twins = [named("er"), named("er", mask_logits=True)]
    assert [row["settings"] for row in outcomes.groups(twins)] == ["", ""]  # `logits` tells them apart


def test_two_ways_of_pruning_of_one_method_are_told_apart_at_whatever_sparsity():
    progressive = {"sdp": {"form": "progressive"}}
    dense = summary("3")
    dense["config"] = {**dense["config"], "sparsity": 0.0}
    runs = [summary("1"), summary("2", sparsity=0.98, **progressive), dense]
    assert [row["settings"] for row in outcomes.rows(runs)] == ["sdp.form=admm", "sdp.form=progressive", ""]
    runs = [summary("1"), summary("2", sparsity=0.95), summary("3", method="ewc", sparsity=0.5)]
    assert [row["settings"] for row in outcomes.rows(runs)] == ["", "", ""]


def test_what_one_run_does_not_know_has_no_mean():
    known, unknown = summary("1", seed=0), summary("2", seed=1)
    unknown["average_accuracy"] = None
    (group,) = outcomes.groups([known, unknown])
    assert group["average_accuracy"] is None
    assert group["average_accuracy_sd"] is None


def test_a_row_of_a_run():
    row = outcomes.row(summary("1", sparsity=0.9, scenario="class"))
    assert row["kept_bytes"] == 720 + 225 + 1400
    assert row["smallest_sparsity"] == pytest.approx(0.9)
    assert row["flops_over_dense_sgd"] == pytest.approx(4.0 / 3.1)
    assert row["average_accuracy_task"] > row["average_accuracy"]
    assert outcomes.row(summary("1"))["average_accuracy_task"] is None


# As text


def test_the_table_has_means_deviations_and_n():
    table = comparing.as_table(outcomes.groups([summary(str(s), seed=s) for s in (0, 2)]))
    assert "3.0 ± 1.4 s" in table
    assert "90.0" in table
    assert "λmax dense" in table
    assert "task known" not in table  # nobody knows it


def test_problems_of_two_kinds_are_two_tables():
    text = comparing.as_table(outcomes.groups([summary("1"), summary("2", scenario="class"), summary("3", seed=1)]))
    first, second = text.split("\n\n\n")
    assert ("task" in first, "class" in first) == (True, False)
    assert "class" in second


@pytest.mark.parametrize(
    ("written", "value", "sd"),
    [
        ("(3.81 ± 0.00)e+06", 3.812e6, 4550.0),
        ("1.89 ± 0.01", 1.89, 0.00573),
        ("1.00 ± 0.02", 1.0, 0.02),
        ("0.441 ± 0.003", 0.4412, 0.0031),
        ("123 ± 5", 123.4, 4.6),
        ("0.00 ± 1.00", 0.0, 1.0),
    ],
)
def test_a_deviation_is_written_to_the_place_of_its_mean(written, value, sd):
    assert printing.number_and_sd(value, sd) == written


@pytest.mark.parametrize(
    ("written", "value", "sd"),
    [("23.9 ± 0.0 kB", 23_900, 0), ("501 ± 0 MB", 501e6, 174e3), ("2.50 ± 1.20 GB", 2.5e9, 1.2e9), ("17 ± 3 B", 17, 3)],
)
def test_bytes_have_their_deviation_in_the_same_unit(written, value, sd):
    assert printing.size_and_sd(value, sd) == written


def test_csv_has_a_column_for_each_deviation_and_defuses_formulas():
    text = comparing.as_csv(outcomes.groups([summary("1", name="=1+1", seed=0), summary("2", name="=1+1", seed=1)]))
    head, line = text.splitlines()
    names = "name,status,benchmark,scenario,tasks,evaluation,method,sparsity,base,buffer,logits,settings,n"
    assert head.startswith(f"{names},")
    assert "average_accuracy,average_accuracy_sd" in head
    assert line.startswith("'=1+1,finished,split-digits,task,3,test,esacl,0.9,,,,,2,")
    assert line.endswith(",0 1,1 2,,")


def test_latex_is_booktabs_with_escaped_names():
    runs = [summary("1", seed=0), summary("2", seed=1), summary("3", epochs=5)]
    groups = [{**group, "settings": r"a_b=50%\x{}&~^#$"} for group in outcomes.groups(runs)]
    text = comparing.as_latex(groups)
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}", r"\end{tabular}"):
        assert text.count(part) == 1
    body = text.split("\\midrule\n")[1].split("\\bottomrule")[0]
    escaped = r"a\_b=50\%\textbackslash{}x\{\}\&\textasciitilde{}\textasciicircum{}\#\$"
    assert body.count(escaped) == 2
    columns = text.split(r"\begin{tabular}{")[1].split("}")[0]
    assert all(line.replace(r"\&", "").count("&") == len(columns) - 1 for line in body.strip().splitlines())
    assert r"\pm" in body
    assert r"\cdot10^{9}" in body  # 1.26e+09
    assert r"$2.35 \pm 0.00\,\mathrm{kB}$" in body
    assert r"$(1.26 \pm 0.00)\cdot10^{9}$" in body
    assert text.startswith("% split-digits, task, 3 tasks, test data;")


def test_latex_of_single_runs_says_their_seeds_and_what_else_tells_them_apart():
    runs = [summary("1", seed=3), summary("2", seed=4, epochs=5)]
    text = comparing.as_latex(outcomes.rows(runs))
    head, *lines = text.split("\\toprule\n")[1].splitlines()
    assert head.startswith("method & sparsity & settings & seed &")
    assert [re.search(r"EsaCL & [\d.]+ & epochs=\d & (\d)", line)[1] for line in lines[1:3]] == ["3", "4"]


def test_latex_writes_what_nobody_knows_as_a_dash_of_its_own():
    runs = [summary("1"), summary("2", method="ewc"), summary("3", method="er", epochs=5)]
    text = comparing.as_latex(outcomes.groups(runs))
    assert "settings" in text
    assert "& -- &" in text
    assert "–" not in text


def test_a_buffer_of_one_image_is_named_in_the_singular():
    told = comparing.as_latex(outcomes.groups([summary("1", method="er", buffer={"size": 1})]))
    assert "ER, 1 image &" in told


def test_sparcl_is_told_with_what_it_is_laid_over():
    runs = [summary("1", method="sparcl", sparcl={"base": base}) for base in ("er", "co2l")]
    text = comparing.as_latex(outcomes.groups(runs))
    assert "SparCL over ER, 200 images &" in text
    assert "SparCL over Co2L, 200 images &" in text
    assert "SparCL over ER, 200 images &" in comparing.as_latex(outcomes.groups(runs[:1]))  # where it is alone too
    assert outcomes.row(summary("1"))["base"] == ""


def test_runs_of_two_benchmarks_say_which():
    other = summary("2", benchmark="permuted-mnist", scenario="domain")
    text = comparing.as_latex(outcomes.groups([summary("1"), other]))
    assert "permuted-mnist" in text.split("\\midrule")[1]


def unlike() -> list[dict]:
    er = summary("1", method="er", scenario="class", mask_logits=True)
    return outcomes.groups([er, summary("2", method="derpp", scenario="class", buffer={"size": 5000})])


def test_a_terminal_says_what_methods_were_not_given_alike_below_their_own_table():
    other = outcomes.groups([summary("3", epochs=5), summary("4", method="ewc", train_limit=40)])
    first, second = comparing.as_table([*unlike(), *other]).split("\n\n\n")
    assert first.splitlines()[-1] == "not given the same: buffer.size 200, 5000; mask_logits true, false"
    assert second.splitlines()[-1] == "not given the same: train_limit all, 40; epochs 5, 3"
    row = next(line.split() for line in first.splitlines() if line.startswith("er "))
    assert row[:3] == ["er", "200", "masked"]
    assert "not given" not in comparing.as_table(outcomes.groups([summary("1"), summary("2", method="ewc")]))


def test_latex_names_buffers_and_masks_with_the_method_and_what_was_not_alike_in_a_comment():
    text = comparing.as_latex(unlike())
    assert text.splitlines()[1] == "% not given the same: buffer.size 200, 5000; mask_logits true, false"
    assert "\nER, 200 images, masked logits & " in text
    assert "\nDER++, 5000 images & " in text
    other = outcomes.groups([summary("3", epochs=5), summary("4", method="ewc")])
    told = comparing.as_latex([*unlike(), *other]).splitlines()[1:3]
    assert [line.partition(":")[0] for line in told] == ["% scenario class", "% scenario task"]
    assert all(line.startswith("%") for line in comparing.as_latex(unlike()).partition("\\begin")[0].splitlines())


def test_csv_has_buffers_and_logits_in_columns():
    head, er, derpp = (line.split(",") for line in comparing.as_csv(unlike()).splitlines())
    at = head.index("buffer"), head.index("logits")
    assert [[line[place] for place in at] for line in (er, derpp)] == [["200", "masked"], ["5000", ""]]


def made_by(code: str, instructions: str = "0123abcd") -> dict:
    return {"versions": {"esacl": "0.2"}, "code": code, "hardware": {"cpu": "A", "instructions": instructions}}


def test_a_mean_over_runs_of_several_versions_or_processors_says_so():
    runs = [
        summary("1", seed=0, machine=made_by("aaaaaaaa")),
        summary("2", seed=1, machine=made_by("bbbbbbbb")),
        summary("3", seed=0, method="er", machine=made_by("bbbbbbbb")),
        summary("4", seed=1, method="er", machine=made_by("bbbbbbbb", "89efabcd")),
        summary("5", seed=0, method="ewc", machine=made_by("cccccccc")),
    ]
    groups = outcomes.groups(runs)
    assert [len(group["version"]) for group in groups] == [2, 1, 1]
    told = [
        "means over runs of 2 versions: EsaCL, 90.0% sparse",
        "means over runs of 2 processors: ER, 200 images, dense",
    ]
    assert comparing.as_table(groups).splitlines()[-2:] == told
    assert comparing.as_latex(groups).splitlines()[1:3] == [f"% {line}" for line in told]
    head, esacl, er, _ = comparing.as_csv(groups).splitlines()
    assert head.endswith(",seeds,runs,version,processor")
    assert esacl.endswith(",0.2 aaaaaaaa; 0.2 bbbbbbbb,A 0123abcd")
    assert er.endswith(",0.2 bbbbbbbb,A 0123abcd; A 89efabcd")
    assert "means over" not in comparing.as_table(outcomes.rows(runs))  # a row a run has no mean
    assert comparing.as_csv(outcomes.rows(runs)).splitlines()[1].endswith(",0.2 aaaaaaaa,A 0123abcd")
    assert "means over" not in comparing.as_table(outcomes.groups([summary("1", seed=0), summary("2", seed=1)]))
    resumed = {**made_by("aaaaaaaa"), "earlier": [made_by("bbbbbbbb")]}
    (alone,) = outcomes.groups([summary("1", machine=resumed)])
    assert len(alone["version"]) == 2
    assert outcomes.mixed([alone], "version") == {}  # which is no mean


def test_rows_of_other_data_or_that_did_not_finish_say_so():
    runs = [summary("1"), summary("2", method="er", tasks=2, evaluation="validation"), summary("3", method="ewc")]
    runs[2] = {**runs[2], "status": "cancelled"}
    text = comparing.as_latex(outcomes.groups(runs))
    assert text.startswith("% split-digits, task; ")
    assert "\ntasks & evaluation & status & method &" in text.replace("\\toprule", "")
    assert "2 & validation & finished & ER, 200 images &" in text
    assert "3 & test & cancelled & EWC" in text


def test_a_terminal_has_no_row_beside_one_of_other_data_or_of_another_number_of_tasks():
    found = [summary("1", seed=0), summary("2", evaluation="validation", seed=0), summary("3", tasks=2, seed=0)]
    tables = comparing.as_table(outcomes.rows(found)).split("\n\n\n")
    assert len(tables) == 3
