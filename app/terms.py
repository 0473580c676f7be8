"""The terms of the field as these pages use them: what the glossary says."""

from dataclasses import dataclass

from app.language import marked


@dataclass(frozen=True)
class Term:
    """One word for one thing: what it means, in two sentences at most, and the page on which it is to be seen."""

    name: str
    meaning: str
    see: str  # file in pages/


TERMS = (
    Term(
        marked("Accuracy matrix"),
        marked(
            "$R_{i,j}$ is the accuracy on task $j$ after task $i$ was learned. A row is all that the network can do at "
            "one time, a column the fate of one task."
        ),
        "forgetting",
    ),
    Term(
        marked("Anchor, Ω"),
        marked(
            "The pull of every weight towards where an earlier task left it, "
            "$\\tfrac{\\lambda}{20}\\sum_i\\Omega_i(\\theta_i-\\theta_i^*)^2$. Ω says how much the earlier tasks "
            "depend on a weight, λ how tightly all of them are held."
        ),
        "forgetting",
    ),
    Term(
        marked("Backward transfer"),
        marked(
            "What learning the later tasks did to the earlier ones: the mean of $R_{T,j}-R_{j,j}$ over the tasks "
            "before the last. Negative is forgetting."
        ),
        "forgetting",
    ),
    Term(
        marked("Class-IL"),
        marked(
            "The scenario in which nobody says which task an image is from: the network chooses among all classes "
            "seen so far."
        ),
        "run",
    ),
    Term(
        marked("Continual learning"),
        marked(
            "Learning one task after another, without the data of the earlier ones or with a few of them. What is new "
            "must be learned, and what is old not forgotten."
        ),
        "start",
    ),
    Term(
        marked("Dead unit"),
        marked(
            "A unit that a cut has left without a weight that leads to it, or that reads it; it has no gradient and "
            "cannot learn. In task-IL EsaCL begins each task with new weights that lead to such units and none that "
            "read them, so that nothing changes but what can be learned."
        ),
        "training",
    ),
    Term(
        marked("Density"),
        marked("The fraction of the prunable weights that is kept: one minus the sparsity."),
        "sparsity",
    ),
    Term(
        marked("Displacement, d"),
        marked(
            "What a cut adds to the weights, $d=-(1-m)\\odot\\theta$ with the mask $m$: 0 where a weight stays, "
            "$-\\theta_i$ where it goes."
        ),
        "theory",
    ),
    Term(
        marked("Distillation"),
        marked(
            "While a task is learned, what the sparse network of the last task says of today's images is kept as it "
            "was (Li and Hoiem 2017). It guards the function where an anchor guards single weights, and replays "
            "nothing."
        ),
        "forgetting",
    ),
    Term(
        marked("Domain-IL"),
        marked(
            "The scenario in which all tasks share their classes and the images change, as in permuted MNIST: each "
            "task has another order of the pixels."
        ),
        "run",
    ),
    Term(
        marked("EL2N"),
        marked(
            "A score: the length of the error, $|p-y|$, of one image. Here it is multiplied by $\\sqrt{|\\phi|^2+1}$, "
            "which makes it the length of the last layer's gradient."
        ),
        "selection",
    ),
    Term(
        marked("Filter normalisation"),
        marked(
            "Scales every row (filter) of a random direction to the length of that row of the weights, so that slices "
            "of networks of different scale can be compared (Li et al. 2018). Biases and norm layers stay still."
        ),
        "landscape",
    ),
    Term(
        marked("Fisher information"),
        marked(
            "How strongly what the network says depends on a weight: "
            "$F_i=\\mathbb{E}\\,(\\partial\\log p(y\\,|\\,x)/\\partial\\theta_i)^2$, with labels $y$ as likely as the "
            "network itself holds them to be. The anchors take their Ω from it."
        ),
        "forgetting",
    ),
    Term(
        marked("FLOPs of training"),
        marked(
            "Multiplications and additions that training takes, two for each multiply-add, with every extra billed. "
            "With sparsity it is what could be saved, which hardware need not save."
        ),
        "cost",
    ),
    Term(
        marked("Forgetting"),
        marked(
            "The best accuracy that a task had before the last one was learned, minus the one at the end; over the "
            "tasks before the last, the mean. It may be negative."
        ),
        "forgetting",
    ),
    Term(
        marked("GGN trace"),
        marked(
            "The score by which IDS draws: the trace of the last layer's generalised Gauss–Newton matrix for one "
            "image, $\\sum_c p_c(1-p_c)\\,(|\\phi|^2+1)$. It takes one forward pass and no label."
        ),
        "selection",
    ),
    Term(
        marked("Hessian, H"),
        marked(
            "The matrix of the second derivatives of the loss by the weights: how the slope changes along every "
            "direction. Its eigenvectors are the sharp and the flat directions, its eigenvalues say how sharp."
        ),
        "curvature",
    ),
    Term(
        marked("IDS"),
        marked(
            "Intelligent data selection: draws a few images, the likelier the higher their score, and weights each so "
            "that every mean stays unbiased. λₘₐₓ is no mean, so its bias is shown, signed."
        ),
        "selection",
    ),
    Term(
        marked("Landscape slice"),
        marked(
            "The loss along one or two directions through the weights, all other directions held still. What lies "
            "beside the slice is not seen."
        ),
        "landscape",
    ),
    Term(
        marked("Learning accuracy"),
        marked("The mean of the diagonal of the accuracy matrix: every task just after it was learned."),
        "forgetting",
    ),
    Term(
        marked("Mask"),
        marked("A 1 for each weight that stays and a 0 for each that goes."),
        "training",
    ),
    Term(
        marked("One-shot pruning"),
        marked(
            "All the weights that are to go are set to zero at once, by one ranking, and not in rounds of cutting and "
            "retraining."
        ),
        "sparsity",
    ),
    Term(
        marked("Output bound"),
        marked(
            "What a cut can cost, from derivatives at θ alone: the outputs are expanded along the cut, and what is "
            "left out is added at its worst. It holds under an assumption, and is far nearer than the λ bound."
        ),
        "theory",
    ),
    Term(
        marked("Pareto front"),
        marked("The methods that none of the others beats at both ends: none is as accurate for less."),
        "compare",
    ),
    Term(
        marked("Path integral"),
        marked(
            "The slope added up along the way of the cut, $\\int_0^1\\nabla L(\\theta+a\\,d)^{\\top}d\\,\\mathrm{d}a$. "
            "It is the rise of the loss itself, here from four points, and shows where along the way the loss rises."
        ),
        "theory",
    ),
    Term(
        marked("Rehearsal memory, replay"),
        marked(
            "A few images of earlier tasks that are kept and trained on again. EsaCL goes without unless it is given "
            "one."
        ),
        "cost",
    ),
    Term(
        marked("Saliency"),
        marked(
            "A number for each weight that says how much it matters: the lowest are cut. EsaCL takes "
            "$s_i=\\tfrac12(h_i+1+\\Omega_i)\\,\\theta_i^2$, with the curvature $h_i$ of today and Ω of earlier tasks; "
            "up to 90% a weight of a convolution, which is used at every pixel, has to matter more to stay."
        ),
        "sparsity",
    ),
    Term(
        marked("SDP"),
        marked(
            "Sharpness-informed directional pruning: while a task is still being learned, the weights that would go "
            "are pulled towards zero (in the form `progressive`: cut, little by little). So the one cut is a short "
            "step that stays out of the sharp directions."
        ),
        "training",
    ),
    Term(
        marked("Sharpness"),
        marked(
            "How steeply the loss rises around the weights. It is always named with its measure: λₘₐₓ, the trace, or "
            "$d^{\\top}Hd$ along one cut."
        ),
        "curvature",
    ),
    Term(
        marked("Sparsity"),
        marked(
            "The fraction of the prunable weights that is zero. Private heads, biases and norm layers do not count "
            "among them."
        ),
        "sparsity",
    ),
    Term(
        marked("Survivors"),
        marked(
            "The weights that a cut leaves. Restricted to them the Hessian tells how the loss bends where training "
            "can still go; restricting alone can only lower λₘₐₓ."
        ),
        "curvature",
    ),
    Term(
        marked("t-SNE"),
        marked(
            "A map of images on which neighbours are images that the network sees as alike. Distances between far "
            "groups mean nothing on it."
        ),
        "selection",
    ),
    Term(
        marked("Task-IL"),
        marked(
            "The scenario in which the network is told which task an image is from, and chooses among the classes of "
            "that task only."
        ),
        "run",
    ),
    Term(
        marked("Taylor estimate"),
        marked(
            "The rise of the loss as slope and curvature at θ tell it, $g^{\\top}d+\\tfrac12 d^{\\top}Hd$, for one "
            "gradient and one Hessian-vector product. It is no bound, and ranks cuts well."
        ),
        "theory",
    ),
    Term(
        marked("λ bound"),
        marked(
            "$g^{\\top}d+\\tfrac12\\sup\\lambda_{\\max}(H)\\,|d|^2$, the supremum over the whole way of the cut. With "
            "twice-differentiable activations no rise exceeds it; it is often many times too large."
        ),
        "theory",
    ),
    Term(
        marked("λₘₐₓ"),
        marked(
            "The largest eigenvalue of the Hessian: the curvature of the loss in its sharpest direction. It changes "
            "when a network is merely rescaled."
        ),
        "curvature",
    ),
    Term(
        marked("λₘₐₓ |θ|²"),
        marked(
            "λₘₐₓ times the squared length of all weights. One factor for all weights, which leaves what the network "
            "computes, does not change it; factors that differ from layer to layer do."
        ),
        "curvature",
    ),
)
