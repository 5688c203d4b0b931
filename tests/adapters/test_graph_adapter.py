import pytest

from graphkit.adapters import GraphAdapter, Schema

PLAIN = {"x": ("N", 3), "edge_index": (2, "E")}


def test_schema_is_printed_in_words():
    schema = Schema(
        node={"box": "a detection", "frame": "a picture"},
        edge={"box.in.frame": "lies in", "box.next.box": "follows"},
        attributes={"box.x": ("N", 2), "box.y": ("N",)},
        undirected={"box.in.frame": False, "box.next.box": True},
        y="the person, by the annotators",
        differentiable=("box.x",),
    )
    text = str(schema)
    for words in (
        "a picture",
        "lies in (directed)",
        "follows (undirected)",
        "annotators",
        "[N, 2]",
    ):
        assert words in text
    # One column of names, one of words, whichever name is the longest.
    assert len({line.index(line.split("  ")[-1].lstrip()) for line in text.splitlines()}) == 1
    assert schema.is_undirected("box.next.box")


def test_gradients_of_nothing_are_refused():
    with pytest.raises(ValueError, match="edge_attr"):
        Schema("a", "b", PLAIN, differentiable=("edge_attr",))


@pytest.mark.parametrize(("attributes", "y"), [(PLAIN, "a class"), ({**PLAIN, "y": ("N",)}, "")])
def test_a_label_needs_words_and_words_a_label(attributes, y):
    with pytest.raises(ValueError, match="'y'"):
        Schema("a", "b", attributes, y=y)


def test_an_adapter_without_forward_cannot_be_made():
    with pytest.raises(TypeError, match="forward"):
        type("Half", (GraphAdapter,), {})()
