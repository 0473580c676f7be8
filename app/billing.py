"""The parts of the cost page: what a run took in all, and where each FLOP went."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app import bills, widgets
from app.bills import Bar
from app.figures import costs
from app.language import text
from app.wording import number, percent, size


def totals(cost: Mapping[str, Any], kept: Sequence[Bar]) -> None:
    """What training took, counted and measured."""
    dense = cost["train_flops_dense_sgd"]
    widgets.metrics(
        [
            (
                text("FLOPs of training"),
                number(cost["train_flops"]),
                text("Counted: two for each multiply-add, every extra billed."),
            ),
            (
                text("Of dense SGD's"),
                percent(cost["train_flops"] / dense, 0) if dense else "–",
                text("The same steps, no weight cut."),
            ),
            (
                text("Kept between tasks"),
                size(kept[0].value if kept else None),
                text("Weights, masks, anchors, rehearsal memory."),
            ),
            (
                text("Time, measured"),
                widgets.duration(cost["seconds"] or 0),
                text("By the clock, with all that is only shown."),
            ),
            (
                text("Most memory, measured"),
                size(cost["peak_bytes"]),
                text("Of the whole process: libraries and data too."),
            ),
        ]
    )


def itemised(cost: Mapping[str, Any]) -> None:
    """The bill by purpose and by layer, as figures and as tables."""
    items, layers, total = bills.items(cost), bills.layers(cost), cost["train_flops"]
    if not items:
        st.caption(
            text("Not itemised: this run was recorded before there were bills. A new run says where each FLOP goes.")
        )
        return
    left, right = st.columns(2, gap="large")
    with left:
        widgets.draw(
            costs.bars(items, text("for what"), "FLOPs", number, against=total, against_name=text("all")),
            key="items",
        )
        widgets.table(bills.as_frame(items, "FLOPs"), text("The bill"), key="bill")
    with right:
        widgets.draw(
            costs.bars(layers, text("in which layer"), "FLOPs", number, against=total, against_name=text("all")),
            key="layers",
        )
        widgets.table(bills.as_frame(layers, "FLOPs"), text("By layer"), key="bill-layers")
