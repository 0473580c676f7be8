"""The lesson on two weights, in the order of a lecture.

The step, its price to second order, its direction, where the expansion ends, and what SDP does about it. Each has its
text on the left and its figure on the right.
"""

import contextlib
from collections.abc import Iterator

import streamlit as st

from app.language import marked, text
from app.lesson.two_weights import Figure, Valley, show
from app.predict import predict
from app.wording import number

PARTS = (5, 8)  # text, figure
STEP = Figure(
    Valley((2.0, 1.3), sharp=1.6, flat=0.5, turn=62),
    shows=("columns",),
    numbers=("length", "before", "after", "rise"),
)
EXPANSION = Figure(
    Valley((1.7, 1.2), minimum=(1.3, 1.5), sharp=1.6, flat=0.5, turn=62),
    shows=("way",),
    handles=("minimum", "theta"),
    lines=("rise", "slope", "taylor"),
    numbers=("slope", "curvature", "taylor", "rise"),
)
LONG_FLAT, SHORT_SHARP = (True, False), (False, True)
DIRECTION = Figure(
    Valley((2.0, 0.6), sharp=6.0, flat=0.06, turn=90),
    shows=("valley", "reach"),
    handles=("turn", "theta"),
    sliders=("sharp", "flat", "angle"),
    bars=("rise", "taylor", "lambda_bound"),
    numbers=("length", "in_sharp", "rise", "lambda_bound"),
)
FAILURE = Figure(
    Valley((1.7, 1.1), minimum=(1.7, 1.1), sharp=1.2, flat=0.25, turn=20, shape="steepens"),
    shows=("way",),
    handles=("minimum", "theta"),
    sliders=("beta",),
    shapes=("bowl", "steepens", "levels", "bends", "breaks"),
    lines=("rise", "taylor", "bound"),
    bars=("rise", "taylor", "path", "lambda_here", "lambda_bound"),
)
SDP = Figure(
    Valley((1.5, 1.0), sharp=4.0, flat=0.12, turn=-42),
    shows=("trail",),
    handles=("theta",),
    sliders=("shrunk", "angle"),
    bars=("at_once", "training", "at_cut", "total"),
    numbers=("length", "saved"),
    words={"theta": marked("The minimum, where training ends without SDP; arrow keys move it")},
)


def the_step() -> None:
    """A cut is a displacement."""
    st.header(text("1. A cut is a step"))
    with _beside(STEP, key="two-weights-step"):
        st.markdown(
            text(
                "Take a network of two weights. Each point of the map is one such network, each line joins networks of "
                "equal loss, and training has ended in the lowest point, $\\theta$. A mask $m$ holds a 1 for each "
                "weight that stays and a 0 for each that goes. Setting weights to zero is a step, straight to an axis:"
            )
        )
        st.latex(r"d = -(1-m)\odot\theta")
        st.markdown(
            text(
                "It has one entry a weight: 0 where the weight stays, $-\\theta_i$ where it goes. The square is the "
                "network after the cut. **How far** it goes is up to the weight, **in which direction** up to the "
                "mask. The loss has no say in either; it only says what the step costs."
            )
        )
        st.markdown(
            text(
                "*Drag the orange point, or focus it and use the arrow keys (Shift: small steps). Cut one weight, then "
                "the other, then both.*"
            )
        )


def the_expansion() -> None:
    """First and second order."""
    st.header(text("2. The price, told from where the step begins"))
    with _beside(EXPANSION, key="two-weights-expansion"):
        st.markdown(text("Nobody wants to try every mask. So the rise of the loss is expanded around $\\theta$:"))
        first, second = text("slope"), text("curvature")
        st.latex(
            rf"L(\theta+d)-L(\theta) = \underbrace{{g^{{\top}}d}}_{{\text{{{first}}}}} + "
            rf"\underbrace{{\tfrac12\,d^{{\top}}Hd}}_{{\text{{{second}}}}} + O(|d|^3)"
        )
        st.markdown(
            text(
                "The gradient $g$ is the slope where training has stopped. In the minimum it is zero; pull $\\theta$ "
                "away from the green ×, and the first term counts. It can be negative: then a cut *lowers* the loss, "
                "as cuts of a network that is not quite trained sometimes do. The Hessian $H$ holds the second "
                "derivatives; $d^{\\top}Hd$ is the curvature **in the direction of the step**, times its length "
                "squared, and costs one Hessian-vector product."
            )
        )
        st.markdown(
            text(
                "*In the figure: the loss along the step (solid), its tangent (dashed) and the parabola of both terms "
                "(dash-dotted). This loss is a bowl, so the parabola is the truth. Find a place where cutting "
                "$\\theta_1$ lowers the loss.*"
            )
        )


def the_direction() -> None:
    """The bound by the largest eigenvalue, and why it says so little."""
    st.header(text("3. Short is not cheap: direction counts"))
    start = DIRECTION.start
    options = {
        "long": text("Cutting θ₁, the long step"),
        "short": text("Cutting θ₂, the short step"),
        "same": text("They cost the same: both weights go to zero"),
    }
    question = text(
        "θ₁ = %(long)s lies along the flat axis of a valley (curvature %(flat)s), θ₂ = %(short)s along the sharp one "
        "(curvature %(sharp)s). Which cut raises the loss more?",
        long=number(start.theta[0]),
        short=number(start.theta[1]),
        flat=number(start.flat),
        sharp=number(start.sharp),
    )
    said = predict(question, options, key="lesson-direction")
    if said is None:
        return
    with _beside(DIRECTION, key="two-weights-direction"):
        prices = {"long": start.price(LONG_FLAT), "short": start.price(SHORT_SHARP)}
        dearer = max(prices, key=lambda name: prices[name])
        st.markdown(
            text(
                "%(verdict)s The long step costs ½ · %(flat)s · %(long)s² = **%(cheap)s**, the short one "
                "½ · %(sharp)s · %(short)s² = **%(dear)s**. Pruning by magnitude would take the short one.",
                verdict=text("As you said.") if said == dearer else text("It is the other way."),
                flat=number(start.flat),
                long=number(start.theta[0]),
                cheap=number(prices["long"]),
                sharp=number(start.sharp),
                short=number(start.theta[1]),
                dear=number(prices["short"]),
            )
        )
        st.markdown(text("Whoever looks only at the length has to expect the worst direction:"))
        st.latex(r"\tfrac12\,d^{\top}Hd \;\le\; \tfrac12\,\lambda_{\max}\,|d|^2")
        st.markdown(
            text(
                "The dashed circle holds every step as long as this one; the bound is the price of the dearest of "
                "them, at the diamonds. Three levers lower the true price: a **flat minimum** (small "
                "$\\lambda_{\\max}$), a **short step** (small $|d|$), and a step that **stays out of the sharp "
                "directions** (small $d^{\\top}Hd$). The bound sees only the first two."
            )
        )
        st.markdown(
            text(
                "*Turn the valley by the ring on its sharp axis until the cut costs as little as it can, then as much "
                "as it can. The bound does not move.*"
            )
        )


def the_failure() -> None:
    """Where the second-order picture ends, and what holds beyond it."""
    st.header(text("4. Where the parabola ends"))
    with _beside(FAILURE, key="two-weights-failure"):
        st.markdown(
            text(
                "Taylor stands at $\\theta$ and knows one slope and one curvature. A cut is a long step, and a network "
                "is no bowl. Choose how the loss goes on:"
            )
        )
        st.markdown(
            text(
                "- It **steepens**: Taylor falls short, and so does $\\lambda_{\\max}$ taken at $\\theta$ only.\n"
                "- It **levels off**: Taylor is too high.\n"
                "- It **bends**: a unit that is silent at $\\theta$ wakes on the way. At $\\theta$ next to nothing of "
                "it is seen. The bound holds when $\\lambda_{\\max}$ is the largest on the whole way, and is the "
                "larger the more sudden the bend.\n"
                "- It **breaks**, as with ReLU: the curvature at the kink is nowhere in the Hessian, and even that "
                "bound can be too small."
            )
        )
        st.latex(
            r"\begin{gathered}L(\theta+d)-L(\theta) \;\le\; g^{\top}d \\ {}+ \tfrac12\,|d|^2 \sup_{0\le a\le1}"
            r"\lambda_{\max}\bigl(H(\theta+a\,d)\bigr)\end{gathered}"
        )
        st.markdown(
            text("What needs no smoothness is to walk the way and add up the gradient, here at four points (rings):")
        )
        st.latex(r"L(\theta+d)-L(\theta) = \int_0^1 \nabla L(\theta+a\,d)^{\top}d\;\mathrm{d}a")
        st.markdown(
            text(
                "An identity, but for what lies between the four points: a kink there shows. It tells **where** along "
                "the way the loss rises. It costs four gradients, and the rise itself costs one forward pass: it "
                "explains, and saves nothing."
            )
        )


def the_remedy() -> None:
    """Directional pruning: shrink what will go, and let the rest settle."""
    st.header(text("5. What SDP does about it"))
    with _beside(SDP, key="two-weights-sdp"):
        st.markdown(
            text(
                "Sharpness-informed directional pruning does not wait for the cut. While it trains it looks which "
                "weights would go, by a damped second-order price of each, with the curvature $h_i$ and the anchors "
                "$\\Omega_i$ of earlier tasks:"
            )
        )
        st.latex(r"s_i = \tfrac12\,(h_i + 1 + \Omega_i)\,\theta_i^2")
        st.markdown(text("and pulls the network along its own displacement:"))
        st.latex(r"\min_{\theta}\; L(\theta) + \tfrac{\rho}{2}\,\bigl|(1-m)\odot\theta\bigr|^2")
        st.markdown(
            text(
                "The penalty is $|d|^2$ and nothing else: what stays is free to settle anew, and it does, along the "
                "green line near the floor of the valley. So the step becomes **short**. The mask, chosen by price and "
                "not by size, is meant to keep it **out of the sharp directions** too; on the digits a choice by size "
                "cost no more at the cut than three seeds could show. **Nothing of this makes the network flatter**: "
                "the valley stays as sharp as it was. What a run made of it is on the Curvature page, under *Where the "
                "cut goes*."
            )
        )
        st.markdown(
            text(
                "*Move the slider to 100 %. Nothing is left to pay at the cut, but that alone would flatter: part of "
                "the price was paid in training. What counts is the sum. Then set the turn to 0°: no weight can make "
                "up for another, and SDP saves nothing.*"
            )
        )
        st.markdown(
            text(
                "**Learning moves weights too**, by $\\delta = \\theta_t - \\theta_i$ from the solution of task $i$ to "
                "that of task $t$. The same expansion with $\\delta$ in place of $d$ is the forgetting of task $i$; "
                "anchors keep $\\delta$ short where $H$ is large."
            )
        )
        st.markdown(
            text(
                "**Does a flatter network forget less, then?** Not here, as far as three seeds tell. Sharpness-aware "
                "steps on the survivors brought $\\lambda_{\\max}$ down to a quarter of what it was on the digits, "
                "to a half on MNIST and to a third on CIFAR-10; what was forgotten stayed the same within its spread, "
                "which on CIFAR-10 is wide."
            )
        )


@contextlib.contextmanager
def _beside(figure: Figure, *, key: str) -> Iterator[None]:
    """What is written while this lasts stands to the left of the figure."""
    left, right = st.columns(PARTS, gap="large")
    with left:
        yield
    with right:
        show(figure, key=key)
