import streamlit as st

from app import reading, results, session, tour, widgets
from app.language import text
from app.wording import brief, percent, points

st.title(text("Sparse networks that learn task after task"))
entry = session.chosen()
record = reading.record(entry)
config = record.config
with st.container(key="lead"):
    st.markdown(
        text(
            "A network learns one task after another. In each it is cut, in one shot, to a fraction of its weights. "
            "**EsaCL** trains so that the cut costs almost nothing, goes on with what is left at a fraction of the "
            "cost, holds on to what earlier tasks need, and shows by the shape of the loss why. Below is what one run "
            "did; every figure opens a page."
        )
    )
tour.offer()
widgets.facts(entry, record)
if entry.status.live:
    widgets.say("info", text("This run is under way: all of what stands here is as far as it has come."))
summary = results.summary(record)
numbers = results.transfer(summary["accuracy_matrix"], config)
widgets.metrics(
    [
        (text("Average accuracy"), percent(numbers["average_accuracy"]), text(results.HELP["average_accuracy"])),
        (
            text("Weights removed"),
            brief(config.sparsity),
            text("Of the prunable weights; private heads and biases stay."),
        ),
        (text("Cost of the cut, points"), points(results.cost_of_cuts(summary)), text(results.HELP["cost_of_cut"])),
        (
            text("Backward transfer, points"),
            points(numbers["backward_transfer"]),
            text(results.HELP["backward_transfer"]),
        ),
    ]
)
if not summary["accuracy_matrix"]:
    widgets.wait(entry, text("This run has no results yet"))

from app import cards  # noqa: E402  brings pandas: the numbers above are on the screen by now

others = results.comparable(entry, session.listed())[:50]
shown = reading.once(lambda: cards.cards(entry, record, others), "cards", [entry, *others], session.shared("sparsity"))
made = [*shown, cards.your_own()]
for first in range(0, len(made), 3):
    for column, card in zip(st.columns(3, gap="large"), made[first : first + 3]):
        with column, st.container(key=f"card-{card.page}"):
            st.page_link(
                f"../pages/{card.page}.py", label=card.title, query_params={"run": entry.run_id, **session.appearance()}
            )
            widgets.draw(card.legend, card.drawing, key=f"figure-{card.page}")
            st.caption(widgets.plain(card.text))
