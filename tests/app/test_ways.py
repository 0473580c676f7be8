"""What each way of choosing takes: read from the arrays of today and of older runs, and drawn."""

import json

import numpy as np
import pytest

from app import frames, instances, stepping, ways
from app.drawing import png
from app.figures import maps, selection
from esacl.errors import RunUnreadable

NEW = ("el2n", "way_names", "way_chosen", "way_weight", "map", "map_name", "map_trust", "estimate_each")


@pytest.fixture
def kept(arrays):
    return arrays["selection-t1"]


@pytest.fixture
def older(kept):
    return {name: array for name, array in kept.items() if name not in NEW}


def texts(drawing):
    return [mark["text"] for mark in drawing["marks"] if "text" in mark]


def test_each_way_has_what_it_took_and_the_weights(kept):
    found = ways.ways(kept)
    assert [way.name for way in found] == ["IDS", "random", "EL2N", "top-k"]
    assert all(way.times.sum() == 20 for way in found)
    pool = frames.pool(kept)
    assert ways.of_way(pool, found[0])["weight"].to_numpy() == pytest.approx(pool["weight"])
    top = ways.of_way(pool, found[3])
    assert top.loc[top["chosen"], "score"].min() >= top.loc[~top["chosen"], "score"].max()


def test_an_older_run_has_ids_and_the_highest_scores(kept, older):
    found = {way.name: way for way in ways.ways(older)}
    assert list(found) == ["IDS", "top-k"]
    today = {way.name: way for way in ways.ways(kept)}
    for name, way in found.items():
        assert way.times.tolist() == today[name].times.tolist()
        assert way.weight.tolist() == today[name].weight.tolist()
    assert [where.name for where in ways.maps(older)] == ["principal components"]
    assert ways.errors(older) is None
    assert ways.each_draw(older) == {}


def test_a_map_knows_how_far_it_can_be_trusted(kept):
    linear, near = ways.maps(kept)
    assert (linear.trust, near.name, near.trust) == (0.91, "t-SNE", 0.97)
    pool = frames.pool(kept)
    assert "97\u00a0%" in maps.scatter(pool, near, ["2", "3"])["caption"]
    unknown = maps.scatter(pool, ways.Map("t-SNE", near.x, near.y, None), ["2", "3"])
    assert "Trust" not in unknown["caption"]


@pytest.mark.parametrize(
    ("read", "harm"),
    [
        (ways.ways, lambda a: a.update(way_chosen=a["way_chosen"] + 1000)),
        (ways.ways, lambda a: a.update(way_chosen=a["way_chosen"][:, :3])),
        (ways.ways, lambda a: a.pop("way_weight")),
        (ways.ways, lambda a: a.update(way_names=a["way_names"][::-1][:3])),
        (ways.maps, lambda a: a.update(map=a["map"][:5])),
        (ways.maps, lambda a: a.update(map_trust=a["map_trust"][:1])),
        (ways.errors, lambda a: a.update(el2n=a["el2n"][:5])),
        (ways.each_draw, lambda a: a.update(estimate_each=a["estimate_each"][:2])),
    ],
)
def test_damaged_arrays_are_refused_in_one_line(kept, read, harm):
    damaged = dict(kept)
    harm(damaged)
    with pytest.raises(RunUnreadable) as refused:
        read(damaged)
    assert "\n" not in str(refused.value)


def test_an_instance_is_the_same_mark_in_every_way_and_on_every_map(kept):
    pool, found = frames.pool(kept), ways.ways(kept)
    for where in ways.maps(kept):
        drawing = stepping.merged([maps.scatter(ways.of_way(pool, way), where, ["2", "3"]) for way in found])
        items = [mark for mark in drawing["marks"] if "item" in mark]
        assert [mark["item"] for mark in items] == list(range(80))
        assert drawing["lasso"]
        for way, step in zip(found, range(4)):
            looks = [mark.get("frames", {}).get("class", [mark["at"]["class"]] * 4)[step] for mark in items]
            assert ["open" not in look for look in looks] == (way.times > 0).tolist()


def test_what_has_no_place_on_a_map_is_left_out(kept):
    beyond = np.where(np.arange(80)[:, None] == 3, np.nan, kept["map"])
    near = ways.maps({**kept, "map": beyond})[1]
    drawing = maps.scatter(frames.pool(kept), near, ["2", "3"])
    assert {mark["item"] for mark in drawing["marks"] if "item" in mark} == set(range(80)) - {3}
    json.dumps(drawing, allow_nan=False)


def test_twenty_classes_are_told_apart_and_the_first_are_named(kept):
    names = [f"class {i}" for i in range(20)]
    pool = frames.pool(kept).assign(class_name=[names[i % 20] for i in range(80)])
    drawing = maps.scatter(pool, ways.maps(kept)[0], names)
    looks = {mark["at"]["class"].split()[-1] + mark["tag"] for mark in drawing["marks"] if "item" in mark}
    assert len({maps._style(kind) for kind in range(20)}) == 20
    assert len(looks) > 5
    assert "class 9" in texts(drawing)
    assert "class 10" not in texts(drawing)


def test_the_bias_is_written_with_its_sign_and_draws_are_ticks(kept):
    frame = frames.estimates(kept)
    drawing = selection.estimates(frame, ways.each_draw(kept), way="top-k")
    assert {"+5\u00a0%", "+20\u00a0%", "+233\u00a0%", "+264\u00a0%"} <= set(texts(drawing))
    assert "bias +264\u00a0%" in drawing["alt"]
    without = selection.estimates(frame, way="top-k")
    assert len(drawing["marks"]) == len(without["marks"]) + 4
    faint = [mark["text"] for mark in drawing["marks"] if "faint" in mark["at"]["class"] and "text" in mark]
    assert "highest scores, unweighted" not in faint
    assert "the whole pool: the truth" not in faint
    assert "random" in faint


def test_the_drawings_of_the_steps_become_one(kept):
    pool, found = frames.pool(kept), ways.ways(kept)
    steps = [selection.scores(ways.of_way(pool, way), look=selection.look(way.name)) for way in found]
    drawing = stepping.merged(steps)
    assert drawing["alts"] == [step["alt"] for step in steps]
    for index, step in enumerate(steps):
        for mark, one in zip(step["marks"], drawing["marks"]):
            moved = {name: values[index] for name, values in one.get("frames", {}).items()}
            assert {**one["at"], **{k: v for k, v in moved.items() if k in mark["at"]}} == mark["at"]
            assert moved.get("text", one.get("text")) == mark.get("text")
            assert (moved.get("tip", one.get("tip")) or "") == (mark.get("tip") or "")


def test_drawings_of_different_marks_are_no_steps(kept):
    pool = frames.pool(kept)
    one, other = selection.scores(pool), maps.scatter(pool, ways.maps(kept)[0], ["2", "3"])
    with pytest.raises(ValueError, match="number of marks"):
        stepping.merged([one, other])
    turned = {**one, "marks": one["marks"][::-1]}
    with pytest.raises(ValueError, match="order"):
        stepping.merged([one, turned])


def test_the_images_are_one_sheet_in_their_order(kept):
    images = np.arange(5 * 4 * 4, dtype=np.uint8).reshape(5, 4, 4)
    found = instances.sheet(images)
    assert (found["columns"], found["width"], found["height"]) == (3, 4, 4)
    whole = np.zeros((8, 12), dtype=np.uint8)
    for place, image in enumerate(images):
        row, column = divmod(place, 3)
        whole[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = image
    assert found["href"] == png(whole)
    large = instances.sheet(np.zeros((2, 64, 64, 3), dtype=np.uint8))
    assert (large["width"], large["height"]) == (32, 32)
    assert instances.sheet(np.zeros((0, 8, 8), dtype=np.uint8))["href"].startswith("data:image/png")


def test_what_the_browser_is_given_fits_together(kept):
    pool, found = frames.pool(kept), ways.ways(kept)
    given = instances.linked(kept, pool, found)
    json.dumps(given, allow_nan=False)
    assert sorted(given["order"]) == list(range(80))
    scores = pool["score"].to_numpy()[given["order"]]
    assert (np.diff(scores) <= 0).all()
    assert given["image"] == pool["thumbnail"].tolist()
    assert [sum(bool(weight) for weight in row) for row in given["weights"]] == [20] * 4
    assert [given["kinds"][kind] for kind in given["kind"]] == pool["class_name"].tolist()
