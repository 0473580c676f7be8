"""Runs beside each other as rows: one a run, or one a group of runs that differ in their seed alone."""

import hashlib
import json
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from esacl import metrics, origin
from esacl.config import dotted

Row = dict[str, Any]

SETTINGS = ("benchmark", "scenario", "method", "sparsity")
PROBLEM = ("benchmark", "scenario", "tasks", "evaluation")  # runs that differ here answer different questions
EFFORT = (  # and these are to be equal to be fair
    "network", "activation", "resolution", "train_limit", "epochs", "batch_size", "augment", "schedule",
)  # fmt: skip
ALWAYS_TOLD = ("buffer.size", "mask_logits", "balance_logits")  # as `buffer` and `logits`: nothing for `settings`
KIN, WAYS = SETTINGS[:3], ("sdp.form", "pruning.allocation")  # runs of one method, and the ways in which it may prune
MEASURED = (
    "average_accuracy", "average_accuracy_task", "learning_accuracy", "backward_transfer", "forgetting",
    "pruning_drop", "smallest_sparsity", "lambda_max_dense", "lambda_max_pruned", "train_flops",
    "flops_over_dense_sgd", "train_flops_published_rule", "kept_bytes", "seconds",
    "training_seconds", "peak_bytes",
)  # fmt: skip
KEPT = ("weights", "masks", "anchors", "buffer")  # what lies in memory between two tasks
# Runs that differ in these alone are one group. What is estimated while a task is learned is in no column.
_NO_MATTER = ("name", "seed", "device", "threads", "curvature.during")


def row(summary: Row) -> Row:
    """What is compared of one run. Means over tasks for the cut's cost and the top eigenvalues.

    `buffer` counts the images of a memory, None where there is none; `logits` says whether they are masked or balanced;
    `effort` is what `unequal` compares; `version` and `processor` list what the run was made by.
    `smallest_sparsity` is the least over the tasks, after the cut; `kept_bytes` are weights, masks, anchors and buffer.
    """
    config, cost = summary["config"], summary["cost"]
    cuts = [(cut["dense_accuracy"], cut["pruned_accuracy"]) for cut in summary["pruning"]]
    kept = [cost["state_bytes"][kind] for kind in KEPT]
    known = summary["accuracy_matrix_task"] or []
    return {
        **{key: summary[key] for key in ("run", "name", "status")},
        **{key: config[key] for key in (*SETTINGS, *PROBLEM, "seed")},
        "base": config["sparcl"]["base"] if config["method"] == "sparcl" else "",
        "buffer": config["buffer"]["size"] or None,
        "logits": _logits(config),
        "effort": _effort(config),
        "version": summary["made_by"]["versions"],
        "processor": summary["made_by"]["processors"],
        **{key: summary[key] for key in ("average_accuracy", "learning_accuracy", "backward_transfer", "forgetting")},
        "average_accuracy_task": metrics.average_accuracy(known) if len(known) == config["tasks"] else None,
        "pruning_drop": metrics.cost_of_cuts(cuts),
        "smallest_sparsity": 1 - max(summary["density"]) if summary["density"] else None,
        "lambda_max_dense": _mean(_sharpness(summary, "dense")),
        "lambda_max_pruned": _mean(_sharpness(summary, "pruned")),
        "train_flops": cost["train_flops"],
        "flops_over_dense_sgd": _ratio(cost["train_flops"], cost["train_flops_dense_sgd"]),
        "train_flops_published_rule": cost["train_flops_published_rule"],
        "kept_bytes": None if None in kept else sum(kept),
        **{name: cost[name] for name in ("seconds", "training_seconds", "peak_bytes")},
    }


def rows(summaries: Sequence[Row]) -> list[Row]:
    """`row` of each run, and in `settings` what else tells it from others of its benchmark, scenario and method."""
    told = _told_apart([summary["config"] for summary in summaries])
    return [{**row(summary), "settings": settings} for summary, settings in zip(summaries, told)]


def groups(summaries: Sequence[Row]) -> list[Row]:
    """One row a group of runs that differ in `_NO_MATTER` alone, in the order of their first run.

    Each of `MEASURED` is the mean over seeds and has a column `..._sd`, the sample standard deviation, None below
    two; `n` counts seeds. Of runs that share a seed too only the newest counts; the others are `repeats`.
    `identity` names the group, however many seeds it has. `version` and `processor` are those of all its runs.
    `settings` says what else tells a group from one of the same benchmark, scenario, method and sparsity.
    """
    found: dict[str, list[Row]] = {}
    for summary in summaries:
        decides = {key: value for key, value in dotted(summary["config"]).items() if key not in _NO_MATTER}
        found.setdefault(json.dumps([decides, summary["status"]], sort_keys=True), []).append(summary)
    told = _told_apart([members[0]["config"] for members in found.values()])
    return [
        {**_group(members), "settings": settings, "identity": hashlib.sha256(key.encode()).hexdigest()[:16]}
        for (key, members), settings in zip(found.items(), told)
    ]


def _group(members: Sequence[Row]) -> Row:
    by_seed: dict[int, Row] = {}
    for summary in sorted(members, key=lambda summary: summary["run"]):  # ids begin with the time of the start
        by_seed[summary["config"]["seed"]] = summary
    chosen = [by_seed[seed] for seed in sorted(by_seed)]
    rows = [row(summary) for summary in chosen]
    names = {r["name"] for r in rows}
    return {
        "name": names.pop() if len(names) == 1 else "",
        "status": rows[0]["status"],
        **{key: rows[0][key] for key in (*SETTINGS, *PROBLEM, "base", "buffer", "logits", "effort")},
        "n": len(rows),
        **{key: value for name in MEASURED for key, value in _spread(name, [r[name] for r in rows]).items()},
        "version": origin.distinct(name for r in rows for name in r["version"]),
        "processor": origin.distinct_processors(name for r in rows for name in r["processor"]),
        "seeds": sorted(by_seed),
        "runs": [r["run"] for r in rows],
        "repeats": sorted({summary["run"] for summary in members} - {r["run"] for r in rows}),
    }


def _spread(name: str, values: Sequence[float | None]) -> Row:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return {name: None, f"{name}_sd": None}
    return {name: statistics.fmean(known), f"{name}_sd": statistics.stdev(known) if len(known) > 1 else None}


def _told_apart(configs: Sequence[Row]) -> list[str]:
    """For each config what no other of its kind has, as `key=value, ...`; nothing where there is no other.

    What is to be equal in a fair comparison is said of whatever method has it otherwise than most; and how weights are
    chosen where a method does it in two ways, at whatever sparsities, for a curve over sparsity is to be of one way.
    """
    flat = [dotted(config) for config in configs]
    alike, rivals = _by(flat, SETTINGS), _by(flat, PROBLEM)
    silent = (*_NO_MATTER, *ALWAYS_TOLD)
    every = [key for key in dict.fromkeys(key for one in flat for key in one) if key not in silent]
    differ = {kind: {key for key in every if _differ(some, key)} for kind, some in alike.items()}
    usual = {problem: {key: _usual(some, key) for key in EFFORT} for problem, some in rivals.items()}
    pruned = _by([one for one in flat if one["sparsity"] > 0], KIN)
    ways = {kin: {key for key in WAYS if _differ(some, key)} for kin, some in pruned.items()}
    told = []
    for one in flat:
        apart, most = differ[_values(one, SETTINGS)], usual[_values(one, PROBLEM)]
        keys = [key for key in one if key in apart]
        keys += [key for key in EFFORT if key not in keys and one[key] not in most[key]]
        keys += [key for key in WAYS if one["sparsity"] > 0 and key in ways[_values(one, KIN)] and key not in keys]
        told.append(", ".join(f"{key}={one[key]}" for key in keys))
    return told


def _by(configs: Sequence[Row], keys: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    found: dict[tuple[Any, ...], list[Row]] = {}
    for config in configs:
        found.setdefault(_values(config, keys), []).append(config)
    return found


def _values(config: Row, keys: Sequence[str]) -> tuple[Any, ...]:
    return tuple(config[key] for key in keys)


def unequal(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """What a fair comparison has equal and these rows have not, with its values in their order.

    A buffer is compared among the methods that rehearse, logits among those that could have them masked or balanced.
    """
    efforts = [r["effort"] for r in rows]
    keys = dict.fromkeys(key for effort in efforts for key in effort)
    found = {key: list(dict.fromkeys(effort[key] for effort in efforts if key in effort)) for key in keys}
    return {key: values for key, values in found.items() if len(values) > 1}


def mixed(rows: Sequence[Row], key: str) -> dict[int, list[Row]]:
    """The groups whose mean is over runs of more than one `version` or `processor`, by how many of them."""
    found: dict[int, list[Row]] = {}
    for r in rows:
        if r.get("n", 1) > 1 and len(r[key]) > 1:
            found.setdefault(len(r[key]), []).append(r)
    return found


def _effort(config: Row) -> Row:
    """What is to be equal to be fair, under the names that `--set` takes, without what a method can have no part in."""
    found = {key: config[key] for key in EFFORT}
    if config["buffer"]["size"]:
        found["buffer.size"] = config["buffer"]["size"]
    contrastive = config["method"] == "sparcl" and config["sparcl"]["base"] == "co2l"
    if config["scenario"] == "class" and config["method"] != "joint" and not contrastive:
        found |= {key: config[key] for key in ("mask_logits", "balance_logits")}
    return found


def _logits(config: Row) -> str:
    """What is done to logits in class-IL: `masked`, `balanced 1.25`; empty where it is neither."""
    if config["mask_logits"]:
        return "masked"
    return f"balanced {config['balance_logits']:g}" if config["balance_logits"] else ""


def _usual(configs: Sequence[Row], key: str) -> list[Any]:
    """The value that most of them have; none where two are as frequent."""
    counted = Counter(config[key] for config in configs).most_common(2)
    return [] if len(counted) == 2 and counted[0][1] == counted[1][1] else [counted[0][0]]


def _differ(configs: Sequence[Row], key: str) -> bool:
    return len({str(config.get(key)) for config in configs}) > 1


def _sharpness(summary: Row, point: str) -> list[float]:
    return [
        found["top_eigenvalues"][0]
        for found in summary["curvature"]
        if found["point"] == point and not found["restricted"] and found["engine"] == "lanczos"
        if found["top_eigenvalues"]
    ]


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _ratio(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b
