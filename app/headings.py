"""Headings of tables whose columns code names: column -> English, marked. What is downloaded keeps the column."""

from app.language import marked, text

HEADINGS = {
    # the accuracy matrix, and accuracies of several methods
    "after": marked("after task"),
    "on": marked("on task"),
    "accuracy": marked("accuracy"),
    "label": marked("Name"),
    "tag": marked("mark"),
    "method": marked("Method"),
    "value": marked("value"),
    "sd": marked("standard deviation"),
    # the pool of instances
    "position": marked("position"),
    "score": marked("score"),
    "class_name": marked("class"),
    "chosen": marked("chosen"),
    "times": marked("times chosen"),
    "weight": marked("weight"),
    # the sparsity curve
    "level": marked("removed, as a fraction"),
    "rise": marked("rise, whole pool"),
    "rise_of_chosen": marked("true rise"),
    "taylor": marked("Taylor, one HVP"),
    "path_integral": marked("path integral"),
    "curvature_term": marked("½ d'Hd alone"),
    "output_bound": marked("output bound"),
    "lambda_bound": marked("λ bound"),
    "displacement_norm": "|d|",
    "removed_share": marked("share of |θ|² removed"),
    "loss": marked("loss"),
    # cuts that were evaluated exactly
    "removed, %": marked("removed, %"),
    "mean, %": marked("mean, %"),
    "points lost": marked("points lost"),
    "loss rise, nats": marked("loss rise, nats"),
    "images": marked("images"),
    # the runs of a sweep
    "status": marked("status"),
    "run": marked("Run"),
    "detail": marked("reason"),
    # runs compared
    "settings": marked("settings"),
    "sparsity, %": marked("sparsity, %"),
    "ACC, %": marked("average accuracy, %"),
    "task known, %": marked("task known, %"),
    "learned, %": marked("learning accuracy, %"),
    "BWT": marked("backward transfer, points"),
    "forgetting": marked("forgetting, points"),
    "cut costs": marked("mean cost of the cuts, points"),
    "least sparse, %": marked("smallest sparsity, %"),
    "FLOPs/SGD": marked("FLOPs, of dense SGD's"),
    "FLOPs, published": marked("FLOPs, published rule"),
    "kept": marked("memory kept"),
    "time": marked("time, measured"),
    "training time": marked("training time, measured"),
    "peak memory": marked("most memory, measured"),
}


def heading(column: object) -> str:
    """A column as the reader knows it."""
    return text(HEADINGS.get(str(column), str(column)))
