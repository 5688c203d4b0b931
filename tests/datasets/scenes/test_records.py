"""Scene graphs from mappings and triples, place by place."""

import re

import pytest

from graphkit.datasets import SceneVocabulary
from graphkit.datasets.scenes.records import (
    ends_of,
    from_mapping,
    from_triples,
    number_in,
    shown_as,
    split_mark,
)

NAMES = SceneVocabulary(("sheep", "sky"), ("by", "above"))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("sheep", ("sheep", "")),
        ("sheep#1", ("sheep", "")),
        ("sheep#2", ("sheep", "2")),
        ("sheep#", ("sheep", None)),
        ("sheep#1 2", ("sheep", None)),
        ("sheep# 2", ("sheep", None)),
        ("a#b#c", ("a", "b#c")),
    ],
)
def test_marks(name, parts):
    assert split_mark(name) == parts


def test_triples_of_names():
    scene = [("sheep", "by", "sheep#2"), ["sheep#2", "above", "sky"], ["sheep#1", "by", "sheep"]]
    assert from_triples(scene, NAMES) == ([0, 0, 1], [(0, 0, 1), (1, 1, 2), (0, 0, 0)])
    assert from_triples([], NAMES) == ([], [])
    for wrong in ("abc", b"abc", None, 3, ("sheep", "by"), ("sheep", "by", "sky", "sky")):
        with pytest.raises(ValueError, match="triple 1 must be"):
            from_triples([scene[0], wrong], NAMES)


def test_numbers_of_objects():
    assert (number_in(0, 2, "here"), number_in(1, 2, "here")) == (0, 1)
    for wrong in (-1, 2, True, 1.0, "1", None):
        with pytest.raises(ValueError, match=r"here names object .*, but the scene has 2 objects"):
            number_in(wrong, 2, "here")


def test_values_are_shown_as_far_as_they_are_short():
    assert [shown_as(value) for value in (None, True, 1.5, "a")] == ["None", "True", "1.5", "'a'"]
    assert shown_as("x" * 58) == repr("x" * 58)
    assert shown_as("x" * 59) == "a str"
    assert shown_as([1]) == "a list"


def test_mappings():
    scene = {"objects": ["sheep", {"name": "sky"}], "relationships": [[1, "above", 0]]}
    assert from_mapping(scene, NAMES) == ([0, 1], [(1, 1, 0)])
    assert from_mapping({"objects": ["sky"]}, NAMES) == ([1], [])
    assert from_mapping({**scene, "image_id": 3, "image_url": "", "attributes": []}, NAMES)
    with pytest.raises(ValueError, match="'objects' is missing, and no relationship brings any"):
        from_mapping({"relationships": []}, NAMES)
    with pytest.raises(ValueError, match="got 'boxes', 'objects'"):
        from_mapping({"objects": [], "boxes": []}, NAMES)


def test_object_ids_may_be_text_and_names_a_list():
    objects = [{"names": ["sky", "sheep"], "object_id": "a"}, {"name": "sheep", "object_id": 0}]
    links = [{"predicate": "by", "subject_id": 0, "object": {"object_id": "a"}}]
    scene = {"objects": objects, "relationships": links}
    assert from_mapping(scene, NAMES) == ([1, 0], [(1, 0, 0)])
    for side in ("subject", "object"):
        wrong = [{**links[0], side: {"object_id": 7}}]
        with pytest.raises(ValueError, match=f"no object has its {side}'s object_id, 7"):
            from_mapping({"objects": objects, "relationships": wrong}, NAMES)
    for value in (True, None, 1.0):
        with pytest.raises(ValueError, match="the object_id of object 0 must be a number"):
            from_mapping({"objects": [{"name": "sky", "object_id": value}]}, NAMES)
    # A name of its own goes before the list of names; a text is no list.
    both = {"objects": [{"name": "sheep", "names": ["sky"]}]}
    assert from_mapping(both, NAMES) == ([0], [])
    with pytest.raises(ValueError, match="the name of object 0 must be a name, got None"):
        from_mapping({"objects": [{"names": "sky"}]}, NAMES)


def test_relationships_bring_each_object_once():
    one, two = {"name": "sky", "object_id": 5}, {"name": "sheep", "object_id": 4}
    links = [{"subject": one, "object": two}, {"subject": two, "object": one}]
    assert ends_of(links) == [one, two]
    # Of two with one number the first counts.
    assert ends_of([{"subject": one, "object": {**one, "name": "other"}}]) == [one]
    with pytest.raises(ValueError, match=re.escape("relationship 1 brings no object")):
        ends_of([links[0], {"subject": one, "object_id": 4}])
