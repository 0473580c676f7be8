"""One look a method, everywhere: colour, shape and dash together, so that no meaning rests on colour alone."""

from app.language import marked, text
from esacl import printing
from esacl.defaults import SPARSE_METHODS

METHODS = {  # name -> (colour class, shape, dash)
    "esacl": ("esacl", "circle", ""),
    "finetune": ("finetune", "square", "dash"),
    "ewc": ("ewc", "diamond", "dot-dash"),
    "joint": ("joint", "triangle", "dotted"),
    "er": ("er", "cross", "dash"),
    "derpp": ("derpp", "square", "dot-dash"),
    "packnet": ("packnet", "diamond", "dotted"),
    "rigl": ("rigl", "cross", "dotted"),
    "sparcl": ("sparcl", "triangle", "dash"),
}
STRUCTURES = {"2:4": marked("2:4"), "neuron": marked("whole units")}  # allocations -> as the reader knows them
SHAPES = ("circle", "square", "diamond", "triangle", "cross")
SALIENCIES = {  # as they stand in a method's name
    "second-order": marked("second-order"),
    "magnitude": marked("magnitude"),
    "taylor": marked("taylor"),
    "random": marked("random"),
}
FIRST_HUE, LAST_HUE = 255.0, 45.0  # tasks run from blue over violet to ochre: an order, not a set of names


def look(method: str) -> str:
    """The colour class of a method."""
    return METHODS[method][0]


def shape(method: str) -> str:
    """The marker of a method."""
    return METHODS[method][1]


def dash(method: str) -> str:
    """The dash class of a method."""
    return METHODS[method][2]


def written(method: str, sparsity: float = 0.0, saliency: str = "", base: str = "") -> str:
    """A method as the reader knows it, with its pruning, and what it is laid over."""
    name = printing.METHODS[method]
    if method == "sparcl" and base:
        return text("%(method)s over %(base)s", method=name, base=base_written(base))
    if method in SPARSE_METHODS or sparsity == 0:
        return name
    kind = text(SALIENCIES.get(saliency, saliency)) if saliency else text("one-shot")
    return text("%(method)s + %(kind)s pruning", method=name, kind=kind)


def base_written(base: str) -> str:
    """What SparCL is laid over, as the reader knows it; Co2L is no method of its own here."""
    return printing.METHODS.get(base, "Co2L")


def hue(task: int, tasks: int) -> float:
    """The hue of a task in the order of its sequence."""
    share = task / max(1, tasks - 1)
    return (FIRST_HUE + share * ((LAST_HUE - FIRST_HUE) % 360)) % 360


def task_shape(task: int) -> str:
    """The marker of a task."""
    return SHAPES[task % len(SHAPES)]
