"""A prediction is asked, committed, kept and asked again."""

from streamlit.testing.v1 import AppTest


def page():
    import streamlit as st

    from app.predict import predict

    answer = predict("Which one falls?", {"sgd": "The SGD network", "sdp": "The SDP network"}, key="cut")
    st.text(f"answer: {answer}")


def shown(at) -> str:
    return at.text[0].value


def test_nothing_is_chosen_for_the_reader_and_nothing_can_be_committed_yet():
    at = AppTest.from_function(page).run()
    assert at.radio[0].label == "Which one falls?"
    assert at.radio[0].value is None
    assert at.radio[0].options == ["The SGD network", "The SDP network"]
    assert at.button(key="commit-cut").disabled
    assert shown(at) == "answer: None"


def test_choosing_is_not_committing():
    at = AppTest.from_function(page).run()
    at.radio[0].set_value("sdp").run()
    assert shown(at) == "answer: None"
    at.button(key="commit-cut").click().run()
    assert shown(at) == "answer: sdp"
    assert at.markdown[0].value == "You predicted: **The SDP network**"
    assert not at.radio


def test_a_commitment_lasts_until_it_is_asked_again():
    at = AppTest.from_function(page).run()
    at.radio[0].set_value("sgd").run()
    at.button(key="commit-cut").click().run().run()
    assert shown(at) == "answer: sgd"
    at.button(key="again-cut").click().run()
    assert shown(at) == "answer: None"
    assert at.radio[0].value is None


def test_what_is_no_option_any_more_is_asked_anew():
    at = AppTest.from_function(page)
    at.session_state["predicted-cut"] = "gone"
    assert shown(at.run()) == "answer: None"
