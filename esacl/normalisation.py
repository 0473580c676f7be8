"""What a run may ask of BatchNorm, and how it is said wherever the network is named."""

NETWORKS = ("resnet18",)
"""The networks with BatchNorm layers; a test compares them with `networks.NETWORKS`."""
PER_TASK = ("packnet",)
"""The methods under which what a task knows stays where it was, by construction."""


def default_statistics(network: str, scenario: str, method: str) -> str:
    """Each method's better choice: per task for `packnet` where the task is known at test time, else shared.

    Kept statistics fit as long as the weights before them stay. Where weights move they go stale, under `esacl` too:
    its distillation holds the outputs by today's statistics, and those of a task's own then no longer belong to them
    (measured: benchmarks/RESULTS.md).
    """
    return "task" if network in NETWORKS and scenario == "task" and method in PER_TASK else "shared"


def problem(network: str, scenario: str, method: str, sparsity: float, statistics: str, refresh: bool) -> str | None:
    """Why BatchNorm cannot be had this way, with the remedy; None where it can."""
    if network not in NETWORKS:
        if refresh:
            return f"batchnorm.refresh: true will not do: {network!r} has no BatchNorm; leave it false"
        if statistics == "task":
            return f"batchnorm.statistics: 'task' will not do: {network!r} has no BatchNorm; leave it 'shared'"
        return None
    if statistics == "task" and scenario != "task":
        return (
            f"batchnorm.statistics: 'task' will not do in {scenario}-IL, where the task is not known at test time; "
            "choose 'shared'"
        )
    if statistics == "task" and method == "joint":
        return "batchnorm.statistics: 'task' is of no use to 'joint', which learns all tasks at once; choose 'shared'"
    if refresh and sparsity == 0:
        return "batchnorm.refresh: true is of no use where nothing is cut; leave it false, or set sparsity above 0"
    return None


def said(network: str, statistics: str, refresh: bool) -> str:
    """Whose the statistics are and what becomes of them, in one phrase; nothing where there is no BatchNorm."""
    if network not in NETWORKS:
        return ""
    whose = "per task" if statistics == "task" else "shared by all tasks"
    return f"BatchNorm statistics {whose}, {'refreshed' if refresh else 'not refreshed'} after the cuts"
