"""Experiment 3: two ReLU layers, rescaled: the same function at another lambda_max."""

import numpy as np
import streamlit as st

from app import two_layers, widgets
from app.experiments.answering import Finding, answer, found
from app.experiments.notes import Notes
from app.figures import rescaling
from app.language import marked, text
from app.predict import predict
from app.reading import Entry
from app.two_layers import FACTORS, ONE, Sweep
from app.wording import number
from esacl.records import RunRecord

ASKED = int(np.argmin(np.abs(FACTORS - 4)))  # the question is about layer 1 times 4
MODES = {"layer": marked("One factor for the layer"), "neuron": marked("Each neuron its own")}
OPTIONS = {
    "same": marked("It stays as it was: the function is the same, and so is the loss"),
    "falls": marked("It falls"),
    "rises": marked("It rises, less than tenfold"),
    "soars": marked("It rises tenfold or more"),
}


def show(entry: Entry, record: RunRecord) -> None:
    """Ask, then let the factor be moved."""
    st.markdown(
        text(
            "A network of two layers, ${f(x)=\\sum_k w_k\\,\\mathrm{relu}(v_k x+b_k)}$ with %(neurons)d neurons, lies "
            "at a minimum of its loss. Multiply the weights and biases of layer 1 by a factor, divide those of layer "
            "2 by it: since ${\\mathrm{relu}(cz)=c\\,\\mathrm{relu}(z)}$ for $c>0$, **every output stays what it "
            "was**.",
            neurons=two_layers.NEURONS,
        )
    )
    sweep = two_layers.sweep("layer")
    options = {name: text(words) for name, words in OPTIONS.items()}
    guess = predict(
        text("Layer 1 times 4, layer 2 divided by 4. What becomes of λₘₐₓ, the largest eigenvalue of the Hessian?"),
        options,
        key="experiment-3",
    )
    if guess is None:
        widgets.draw(rescaling.function(sweep), key="experiment-3-given")
        return
    mode = widgets.choice(text("Factor"), {name: text(words) for name, words in MODES.items()}, key="rescale")
    sweep = two_layers.sweep(mode)
    figures = (rescaling.function, rescaling.measured, rescaling.valley, rescaling.neurons)
    label = (
        text("Factor of layer 1") if mode == "layer" else text("Factor of the last neuron; of the first its inverse")
    )
    widgets.step(
        label,
        rescaling.names(),
        [make(sweep) for make in figures],
        rescaling.facts(sweep),
        key=f"experiment-3-{mode}",
        index=ONE,
    )
    answer(guess, options, finding(two_layers.sweep("layer"), two_layers.sweep("neuron")), key="3")
    st.page_link("../pages/curvature.py", label=text("λₘₐₓ and λₘₐₓ · |θ|² of a run, side by side: Curvature"))


def finding(layer: Sweep, neuron: Sweep) -> Finding:
    """What the exact Hessians say."""
    sharp = layer.measures["lambda_max"]
    ratio = float(sharp[ASKED] / sharp[ONE])
    true = "soars" if ratio >= 10 else "rises" if ratio > 1.05 else "falls" if ratio < 0.95 else "same"
    said = [
        text(
            "At factor 4 λₘₐₓ is %(now)s instead of %(before)s, **%(ratio)s times** as large. At no factor has an "
            "output moved by more than %(apart)s, which is rounding: sharpness, measured so, is no property of the "
            "function.",
            now=number(sharp[ASKED]),
            before=number(sharp[ONE]),
            ratio=number(ratio),
            apart=number(float(max(layer.apart.max(), neuron.apart.max())), 2),
        ),
        text(
            "λₘₐₓ · |θ|² of all weights is **no remedy here**: it ranges over a factor of %(relative)s. It is made for "
            "networks whose outputs stay when all weights are multiplied by one number, as normalisation layers make "
            "them, and not for layers that are traded against each other.",
            relative=number(_span(layer, "relative")),
        ),
        text(
            "Taken layer by layer, with each layer's own weights, it %(layerwise)s; but give each neuron its own "
            "factor and it ranges over a factor of %(neurons)s. The measure that scales the Hessian by each weight's "
            "own size, λₘₐₓ of |θ| H |θ|, %(elementwise)s either way.",
            layerwise=_steady(_span(layer, "layerwise")),
            neurons=number(_span(neuron, "layerwise")),
            elementwise=_steady(max(_span(layer, "elementwise"), _span(neuron, "elementwise"))),
        ),
    ]
    said.append(
        text(
            "It is not only sharpness. Cut the smaller half of the weights by their size: the loss becomes %(one)s at "
            "factor 1, %(low)s to %(high)s at the others. **Which weights are small is a matter of scale too**; a "
            "saliency of the form ½ h θ² does not change.",
            one=number(layer.halved[ONE]),
            low=number(float(layer.halved.min())),
            high=number(float(layer.halved.max())),
        )
    )
    if true == "same":
        return found(true, said, text("λₘₐₓ should move as the factor does; here it happened not to at factor 4."))
    return found(true, said)


def _span(sweep: Sweep, measure: str) -> float:
    values = sweep.measures[measure]
    return float(values.max() / values.min())


def _steady(ratio: float) -> str:
    return (
        text("does not change") if ratio < 1 + 1e-6 else text("changes by a factor of %(ratio)s", ratio=number(ratio))
    )


NOTES = Notes(
    aim=marked(
        "To see that λₘₐₓ belongs to a parametrisation and not to a function, so that “flat” is a claim that needs its "
        "measure named; and which measures survive a rescaling of ReLU layers."
    ),
    script=(
        ("2", marked("Write relu(cz) = c relu(z) on the board and let the class find the rescaling itself.")),
        ("2", marked("Ask the question; collect votes; let two who disagree argue before anybody commits.")),
        ("3", marked("Move the factor: the function and the loss stand still, the valley closes.")),
        ("2", marked("Switch to a factor for each neuron: the measure that was taken layer by layer breaks too.")),
        ("1", marked("Back to a claim of the field: “this method finds flatter minima”. By which measure?")),
    ),
    ask=marked(
        "The minimum is the same function with the same loss. If flat minima generalise better, and this one is now "
        "fifty times sharper, does it generalise worse?"
    ),
    misconceptions=(
        (
            marked("The network at factor 8 is a worse network."),
            marked("It answers every input alike. Only its neighbourhood in weight space differs."),
        ),
        (
            marked("Multiply by |θ|² and the problem is gone."),
            marked(
                "Only where all weights may be multiplied by one number, as under normalisation. Trade layers against "
                "each other and it is worse than before."
            ),
        ),
        (
            marked("So sharpness is meaningless."),
            marked(
                "A step of pruning or of learning has a size in weight space, and there the rise of the loss is real: "
                "½ d'Hd changes with H and with d. What means nothing is λₘₐₓ alone, across scales."
            ),
        ),
    ),
    own_data=marked(
        "On the Curvature page compare two runs by λₘₐₓ and by λₘₐₓ · |θ|². Where the two scales order the runs "
        "differently, neither order should be called flatness."
    ),
    exercise=marked(
        "H at the rescaled weights is D⁻¹ H D⁻¹ with D = diag(c, …, c, 1/c, …, 1/c). Show that λₘₐₓ of the block of "
        "layer 2 grows as c², and that λₘₐₓ(H_l) |θ_l|² of a layer does not depend on c. What happens to the rise "
        "½ d'Hd when d moves along with the weights, d → D d?"
    ),
    answer=marked(
        "The block of layer 2 is divided by 1/c on both sides, so it is multiplied by c². |θ_2|² is divided by c², so "
        "the product stays; likewise in layer 1. With d → D d, d'D D⁻¹ H D⁻¹ D d = d'Hd: a displacement that is "
        "relative to the weights, as a cut d = −(1−m) θ with the same mask is, costs the same at every scale."
    ),
)
