"""Names and their numbers."""

import pytest

from graphkit.datasets import SceneVocabulary
from graphkit.datasets.scenes.vrd_names import VRD_VOCABULARY

NAMES = SceneVocabulary(("Sheep", "traffic  light", "sky"), ("on", "In Front of"))


def test_names_have_the_numbers_of_their_order():
    assert (NAMES.num_objects, NAMES.num_predicates) == (3, 2)
    assert [NAMES.object_id(name) for name in NAMES.objects] == [0, 1, 2]
    assert [NAMES.predicate_id(name) for name in NAMES.predicates] == [0, 1]
    assert NAMES.object_ids == {"Sheep": 0, "traffic  light": 1, "sky": 2}
    assert NAMES.predicate_ids == {"on": 0, "In Front of": 1}


def test_upper_case_and_blanks_do_not_matter():
    assert NAMES.object_id(" sheep") == 0
    assert NAMES.object_id("Traffic Light") == 1
    assert NAMES.predicate_id("in front  of") == 1
    assert NAMES.spoken_objects == {"sheep": 0, "traffic light": 1, "sky": 2}
    assert NAMES.spoken_predicates == {"on": 0, "in front of": 1}


def test_unknown_names_get_the_nearest():
    with pytest.raises(ValueError, match="no object is called 'shep'; did you mean 'sheep'"):
        NAMES.object_id("shep")
    # Half of the letters are enough, of 18 ten, fewer are not.
    with pytest.raises(ValueError, match="'traff'; did you mean 'traffic light'"):
        NAMES.object_id("traff")
    with pytest.raises(ValueError, match="'traf'; there are"):
        NAMES.object_id("traf")
    with pytest.raises(ValueError, match="no predicate is called 'onto'; did you mean 'on'"):
        NAMES.predicate_id("onto")


@pytest.mark.parametrize(
    ("objects", "predicates", "word"),
    [
        (("a", "a"), (), "objects"),
        (("a", " "), (), "objects"),
        (("a", 3), (), "objects"),
        ((), ("b", "b"), "predicates"),
        ((), ("",), "predicates"),
    ],
)
def test_doubles_and_what_is_no_name_are_refused(objects, predicates, word):
    with pytest.raises(ValueError, match=f"'{word}' must hold different names"):
        SceneVocabulary(objects, predicates)


def test_twins_are_found_by_their_own_spelling_alone():
    twins = SceneVocabulary(("a b", "A  b", "c"), ("On", "on"))
    assert (twins.object_id("A  b"), twins.predicate_id("on")) == (1, 1)
    with pytest.raises(ValueError, match="'a b' and 'A  b', which differ by upper case and blanks"):
        twins.object_id("a  b")
    with pytest.raises(ValueError, match="'predicates' holds 'On' and 'on'"):
        twins.predicate_id("ON")


def test_the_published_vocabulary():
    assert (VRD_VOCABULARY.num_objects, VRD_VOCABULARY.num_predicates) == (100, 70)
    assert (VRD_VOCABULARY.objects[0], VRD_VOCABULARY.objects[99]) == ("person", "suitcase")
    assert (VRD_VOCABULARY.predicates[0], VRD_VOCABULARY.predicates[69]) == ("on", "skate on")
    assert VRD_VOCABULARY.object_id("traffic light") == 47
