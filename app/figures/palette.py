"""One look a method, everywhere: colour, shape and dash together, so that no meaning rests on colour alone."""

from app.language import text

METHODS = {  # name -> (as it is written, colour class, shape, dash)
    "esacl": ("EsaCL", "esacl", "circle", ""),
    "finetune": ("fine-tuning", "finetune", "square", "dash"),
    "ewc": ("EWC", "ewc", "diamond", "dot-dash"),
    "joint": ("joint training", "joint", "triangle", "dotted"),
    "er": ("ER", "er", "cross", "dash"),
    "derpp": ("DER++", "derpp", "square", "dot-dash"),
    "packnet": ("PackNet", "packnet", "diamond", "dotted"),
    "rigl": ("RigL", "rigl", "cross", "dotted"),
    "sparcl": ("SparCL", "sparcl", "triangle", "dash"),
}
SPARSE = ("esacl", "packnet", "rigl", "sparcl")  # sparse by what they are, and not by a cut that is added to them
SHAPES = ("circle", "square", "diamond", "triangle", "cross")
FIRST_HUE, LAST_HUE = 255.0, 45.0  # tasks run from blue over violet to ochre: an order, not a set of names


def look(method: str) -> str:
    """The colour class of a method."""
    return METHODS.get(method, (method, "joint", "circle", ""))[1]


def shape(method: str) -> str:
    """The marker of a method."""
    return METHODS.get(method, (method, "joint", "circle", ""))[2]


def dash(method: str) -> str:
    """The dash class of a method."""
    return METHODS.get(method, (method, "joint", "circle", ""))[3]


def written(method: str, sparsity: float = 0.0, saliency: str = "") -> str:
    """A method as the reader knows it, with its pruning."""
    name = METHODS.get(method, (method, "", "", ""))[0]
    if method not in SPARSE and sparsity > 0:
        kind = saliency or text("one-shot")
        name = text("%(method)s + %(kind)s pruning", method=name, kind=kind)
    return name


def hue(task: int, tasks: int) -> float:
    """The hue of a task in the order of its sequence."""
    share = task / max(1, tasks - 1)
    return (FIRST_HUE + share * ((LAST_HUE - FIRST_HUE) % 360)) % 360


def task_shape(task: int) -> str:
    """The marker of a task."""
    return SHAPES[task % len(SHAPES)]
