"""Experiment 4: hard examples mislead: choose instances, estimate, see the bias."""

import numpy as np
import pandas as pd
import streamlit as st

from app import analysing, choosing, frames, pickers, reading, widgets
from app.experiments.answering import Finding, answer, found
from app.experiments.notes import Notes
from app.figures import choosing as drawn
from app.figures import selection
from app.language import marked, text
from app.predict import predict
from app.reading import Entry
from app.wording import excess, number
from esacl.records import RunRecord

RIGHT = 0.25  # relative: nearer than this counts as about right
WAYS = {
    "highest": marked("The highest scores"),
    "random": marked("Random ones"),
    "IDS": marked("What IDS drew"),
}
OPTIONS = {
    "small": marked("Too small by more than a quarter"),
    "right": marked("About right, to a quarter"),
    "large": marked("Too large by more than a quarter"),
}


def show(entry: Entry, record: RunRecord) -> None:
    """Look at three choices of instances, ask, then compare their estimates with the truth."""
    task = pickers.task_picker(record, about=text("From the training images of task"))
    arrays = reading.arrays(entry, f"selection-t{task}")
    if arrays is None:
        said = text("Nothing has been selected for task %(task)d", task=task + 1)
        analysing.missing(entry, said, "selection", task)
    pool = frames.pool(arrays)
    kept = max(1, int(pool["chosen"].sum()))
    st.markdown(
        text(
            "λₘₐₓ of the loss is to be estimated from %(kept)d of %(pool)d images. It is tempting to take the hardest: "
            "those that bring most to the curvature.",
            kept=kept,
            pool=len(pool),
        )
    )
    way = widgets.choice(text("Look at"), {name: text(words) for name, words in WAYS.items()}, key="ways")
    if "thumbnails" in arrays:
        shown = choice(pool, way, kept, record.config.seed)
        widgets.draw(selection.thumbnails(shown, arrays["thumbnails"], most=20), key="experiment-4-images")
        st.caption(text("The first of them; beneath each its score (%(score)s).", score=record.config.ids.score))
    guess = ask(entry, kept)
    if guess is None:
        return
    if "estimate_names" in arrays:
        estimates = frames.estimates(arrays)
        widgets.draw(selection.estimates(estimates), key="experiment-4-estimates")
        reveal(guess, estimates)
    else:
        widgets.say("info", text("This run estimated no λₘₐₓ (curvature.top is 0); what follows needs none."))
    _how_many(pool, record.config.ids.score)
    st.page_link("../pages/selection.py", label=text("Every image, its score and its weight: Selection"))


def ask(entry: Entry, kept: int) -> str | None:
    """What the reader predicts of the hardest `kept` instances: asked once, here or on the Selection page."""
    question = text("λₘₐₓ from the %(kept)d highest scores alone, each counted once: how will it come out?", kept=kept)
    return predict(question, _options(), key=f"experiment-4-{entry.run_id}")


def reveal(guess: str, estimates: pd.DataFrame) -> None:
    """Whether it came out so, and by which numbers."""
    answer(guess, _options(), finding(estimates), key="4")


def _options() -> dict[str, str]:
    return {name: text(words) for name, words in OPTIONS.items()}


def choice(pool: pd.DataFrame, way: str, kept: int, seed: int) -> pd.DataFrame:
    """The instances of one way of choosing, the highest scores first, marked as chosen."""
    if way == "IDS":
        return pool[pool["chosen"]].sort_values("score", ascending=False)
    if way == "highest":
        rows = pool.sort_values("score", ascending=False).head(kept)
    else:
        places = np.random.default_rng(seed).choice(len(pool), min(kept, len(pool)), replace=False)
        rows = pool.iloc[np.sort(places)].sort_values("score", ascending=False)
    return rows.assign(chosen=True, times=1, weight=1.0)


def finding(estimates: pd.DataFrame) -> Finding:
    """How far off each choice was, by the run's own estimates."""
    by_name = {str(name): row for name, row in estimates.set_index("name").iterrows()}
    truth = float(estimates["lambda_max"].iloc[0])
    if "top-k" not in by_name or not truth > 0:
        return found((), [text("This run did not record what the highest scores would have told.")])
    off = float(by_name["top-k"]["bias"])
    true = "large" if off > RIGHT else "small" if off < -RIGHT else "right"
    said = [
        text(
            "The whole pool says **%(truth)s**. The highest scores, unweighted, say **%(top)s**: %(times)s times the "
            "truth, every time, as there is only one such choice.",
            truth=number(truth),
            top=number(float(by_name["top-k"]["lambda_max"])),
            times=number(1 + off),
        )
    ]
    for name, sentence in _DRAWN.items():
        if name in by_name:
            row = by_name[name]
            said.append(
                text(
                    sentence,
                    value=number(float(row["lambda_max"])),
                    sd=number(float(row["sd"])),
                    bias=excess(float(row["bias"])),
                    draws=int(row["draws"]),
                )
            )
    against = (
        "" if true == "large" else text("The highest scores should exaggerate the curvature; in this run they do not.")
    )
    if {"IDS", "random"} <= by_name.keys() and by_name["IDS"]["sd"] >= by_name["random"]["sd"]:
        against += " " + text("IDS should scatter less than a random choice; over these few draws it does not.")
    return found(true, said, against.strip())


_DRAWN = {
    "EL2N": marked("The highest EL2N, another score for what is hard, unweighted too, say %(value)s (bias %(bias)s)."),
    "IDS": marked(
        "As many drawn by score and weighted by 1/(n p) say %(value)s ± %(sd)s over %(draws)d draws (bias %(bias)s)."
    ),
    "random": marked(
        "As many at random say %(value)s ± %(sd)s over %(draws)d draws (bias %(bias)s): look at the scatter, since in "
        "practice one draws once."
    ),
}


def _how_many(pool: pd.DataFrame, score: str) -> None:
    made = choosing.estimates(pool["score"].to_numpy(dtype=float))
    if made is None:
        return
    st.subheader(text("How many would one need?"))
    index = int(np.argmin(np.abs(made.kept - max(1, int(pool["chosen"].sum())))))
    widgets.step(
        text("Instances looked at"),
        [str(int(kept)) for kept in made.kept],
        [drawn.over_share(made, len(pool), index)],
        drawn.facts(made, len(pool)),
        key="experiment-4-share",
        index=index,
    )
    what = (
        text("the trace of the last layer's Gauss–Newton matrix, which is the mean of the score")
        if score == "ggn-trace"
        else text("the mean of the score")
    )
    st.caption(
        text(
            "Not λₘₐₓ but %(what)s, computed here from the recorded scores. It is the best case for IDS: it draws in "
            "proportion to the very thing that is summed, a quarter of it at random. Bands: one standard deviation of "
            "a single draw, over %(draws)d draws for IDS, by formula for random ones.",
            what=what,
            draws=choosing.DRAWS,
        )
    )


NOTES = Notes(
    aim=marked(
        "To see that choosing what is informative and counting it as if it were typical is biased, that weights undo "
        "it, and that a mean over draws hides how far off a single draw is."
    ),
    script=(
        ("2", marked("Show the highest scores: what do these digits have in common? Then the random ones.")),
        ("2", marked("Ask the question. Who says “about right”, and why? “The others are boring” is a good answer.")),
        ("3", marked("Reveal. Compare three things apart: bias, scatter of one draw, number of images.")),
        ("2", marked("Move the number of images: when do the highest scores become right? Only with all of them.")),
        ("1", marked("Where else is this done: hard-example mining, surveys by volunteers, news.")),
    ),
    ask=marked("If you may ask only a quarter of a village about its income, whom do you ask, and how do you add up?"),
    misconceptions=(
        (
            marked("Random is unbiased, so random is good enough."),
            marked("For λₘₐₓ it is not even unbiased, and one draw in a few misses what matters most."),
        ),
        (
            marked("Hard examples carry the information, so they are the better sample."),
            marked(
                "They do carry it: draw them more often, and weigh them less. Without weights they describe themselves."
            ),
        ),
        (
            marked("Weighting makes λₘₐₓ unbiased."),
            marked("It makes H unbiased. λₘₐₓ is convex in H, so its mean over draws lies above the truth."),
        ),
    ),
    own_data=marked(
        "Set ids.score to el2n and run again: the same figure for another score. Set ids.fraction to 0.1 and watch "
        "bias and scatter of all three. The Selection page shows which of your images are the hard ones; look for "
        "labels that are wrong."
    ),
    exercise=marked(
        "Four images bring 1, 1, 1 and 9 to a sum. Give the estimate of their mean by the two highest, and by one "
        "draw with probability in proportion to the value, weighted by 1/(n p)."
    ),
    answer=marked(
        "The mean is 3. The two highest say (9 + 1)/2 = 5. Drawn with p = 1/12 or 9/12 and weighted: 1/(4 · 1/12) = 3 "
        "or 9/(4 · 9/12) = 3: exactly right whichever is drawn, since the weight undoes the preference."
    ),
)
