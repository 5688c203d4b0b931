import json
import re

import pytest
import torch

from graphkit.datasets import SceneVocabulary, SyntheticScenes, format_scene, parse_scene
from graphkit.testing import assert_grows_linearly

NAMES = SceneVocabulary(
    ("sheep", "tree", "grass", "sky", "traffic light", "light", "top"),
    ("by", "on", "on the top of", "above", "in the front of"),
)


def triples(data):
    source, target = data.edge_index.tolist()
    return list(zip(source, data.edge_attr.tolist(), target, strict=True))


def test_chain():
    data = parse_scene("sheep by tree on grass", NAMES)
    assert data.x.tolist() == [0, 1, 2]
    assert triples(data) == [(0, 0, 1), (1, 1, 2)]
    assert data.validate()
    assert data.num_nodes == 3


@pytest.mark.parametrize(
    ("text", "x", "found"),
    [
        ("Sheep ON the Grass", [0, 2], [(0, 1, 1)]),
        ("sheep on the top of a tree", [0, 1], [(0, 2, 1)]),
        ("sheep on the top", [0, 6], [(0, 1, 1)]),
        ("traffic light in the front of sky", [4, 3], [(0, 4, 1)]),
        ("sheep by sheep", [0], [(0, 0, 0)]),
        ("sheep#1 by sheep#2; sheep#2 on grass", [0, 0, 2], [(0, 0, 1), (1, 1, 2)]),
        ("traffic light#2 by traffic light", [4, 4], [(0, 0, 1)]),
        ("sky, sheep\n tree by sheep;", [3, 0, 1], [(2, 0, 1)]),
        ("\ufeffsheep on grass\r\nsky\rtree", [0, 2, 3, 1], [(0, 1, 1)]),
        ('\ufeff [["sheep", "on", "grass"]]', [0, 2], [(0, 1, 1)]),
        ("the sky", [3], []),
        ("", [], []),
        (" ; ", [], []),
    ],
)
def test_text(text, x, found):
    data = parse_scene(text, NAMES)
    assert data.x.tolist() == x
    assert triples(data) == found
    assert data.edge_index.shape == (2, len(found))
    assert data.edge_index.dtype == data.x.dtype == data.edge_attr.dtype == torch.int64


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        ("shepe by tree", "no object is called 'shepe'; did you mean 'sheep'"),
        ("sheep buy tree", "no predicate is called 'buy'; did you mean 'by'"),
        ("sheep by trea; sky", "'sheep by trea': no object is called 'trea'"),
        ("sheep by", "'sheep by' ends with a predicate"),
        ("by tree", "no object is called 'by'"),
        ("sheep tree", "no predicate is called 'tree'"),
        ("zzz", "there are 'sheep', 'tree'"),
        ('{"objects": ["sheep"', "not valid JSON"),
        ('{"objects": ["sheep"], "objects": ["tree"]}', "'objects' stands twice"),
        ({"relationships": []}, "'objects'"),
        ({"objects": [], "boxes": []}, "boxes"),
        ({"objects": ["shep"]}, "did you mean 'sheep'"),
        ({"objects": ["sheep"], "relationships": [[0, "by", 1]]}, "names object 1.*has 1 objects"),
        ({"objects": ["sheep"], "relationships": [[-1, "by", 0]]}, "names object -1"),
        ({"objects": ["sheep"], "relationships": [[0, "bye", 0]]}, "did you mean 'by'"),
        ({"objects": ["sheep"], "relationships": [[0, "by"]]}, "subject, predicate, object"),
        ([["sheep", "by"]], "subject, predicate, object"),
        (["sheep by tree"], "subject, predicate, object"),
        ([["sheep", "by", "trees"]], "did you mean 'tree'"),
        (7, "got int"),
    ],
)
def test_malformed_scenes_are_named(scene, message):
    with pytest.raises(ValueError, match=message):
        parse_scene(scene, NAMES)


def test_json_of_the_released_code_and_triples_of_names():
    scene = {"objects": ["sheep", "sheep", "sky"], "relationships": [[0, "by", 1], [2, "above", 0]]}
    data = parse_scene(json.dumps(scene), NAMES)
    assert data.x.tolist() == [0, 0, 3]
    assert triples(data) == [(0, 0, 1), (2, 3, 0)]
    same = parse_scene('[["sheep", "by", "sheep#2"], ["sky", "above", "sheep"]]', NAMES)
    assert same.x.tolist() == [0, 0, 3]
    assert triples(same) == triples(data)
    assert parse_scene({"objects": []}, NAMES).num_nodes == 0


def test_text_and_graph_go_round():
    scenes = SyntheticScenes(num_graphs=40)
    for data in scenes:
        text = format_scene(data, scenes.vocabulary)
        again = parse_scene(text, scenes.vocabulary)
        assert format_scene(again, scenes.vocabulary) == text
        assert sorted(again.x.tolist()) == sorted(data.x.tolist())


@pytest.mark.parametrize("one_chain", [True, False])
def test_ten_thousand_objects(one_chain):
    data = parse_scene(sheep(10_000, one_chain), NAMES)
    assert data.num_nodes == 10_000
    assert data.num_edges == (9_999 if one_chain else 0)


@pytest.mark.parametrize("one_chain", [True, False])
def test_time_grows_linearly_with_the_text(one_chain):
    def parsing(size):
        text = sheep(size, one_chain)
        return lambda: parse_scene(text, NAMES)

    assert_grows_linearly(parsing, 100)


def sheep(size, one_chain):
    """A text of so many sheep, each by the next one or each alone."""
    names = [f"sheep#{i}" for i in range(2, size + 2)]
    return " by ".join(names) if one_chain else "; ".join(names)


def test_vocabulary_refuses_doubles_and_empty_names():
    with pytest.raises(ValueError, match="'objects' must hold different names"):
        SceneVocabulary(("a", "a"), ("on",))
    with pytest.raises(ValueError, match="'predicates' must hold different names"):
        SceneVocabulary(("a",), ("on", " "))
    assert (NAMES.num_objects, NAMES.num_predicates) == (7, 5)
    with pytest.raises(ValueError, match="no predicate is called 'bi'"):
        NAMES.predicate_id("bi")


def test_a_vocabulary_may_lack_predicates():
    names = SceneVocabulary(("sheep", "sky"), ())
    assert parse_scene("sheep; the sky", names).x.tolist() == [0, 1]
    with pytest.raises(ValueError, match="no predicate is called 'by'; there are none"):
        parse_scene("sheep by sky", names)


VG_OBJECTS = [
    {"object_id": 50, "names": ["Sheep"], "x": 1, "y": 2, "w": 3, "h": 4, "synsets": []},
    {"object_id": 7, "name": "sky "},
    {"object_id": 51, "names": ["sheep"]},
]


def test_visual_genomes_own_dictionaries():
    by_number = [
        {"predicate": "ABOVE", "subject_id": 7, "object_id": 50, "relationship_id": 1},
        {"predicate": "by", "subject_id": 50, "object_id": 51},
    ]
    scene = {"image_id": 3, "objects": VG_OBJECTS, "relationships": by_number}
    data = parse_scene(scene, NAMES)
    assert data.x.tolist() == [0, 3, 0]
    assert triples(data) == [(1, 3, 0), (0, 0, 2)]
    whole = {each["object_id"]: each for each in VG_OBJECTS}
    nested = [
        {
            "predicate": each["predicate"],
            "subject": whole[each["subject_id"]],
            "object": whole[each["object_id"]],
        }
        for each in by_number
    ]
    again = parse_scene({"relationships": nested, "objects": VG_OBJECTS}, NAMES)
    assert (again.x.tolist(), triples(again)) == (data.x.tolist(), triples(data))
    alone = parse_scene({"image_id": 3, "relationships": nested}, NAMES)
    assert alone.x.tolist() == [3, 0, 0]
    assert triples(alone) == [(0, 3, 1), (1, 0, 2)]


def test_capitals_in_the_vocabulary():
    names = SceneVocabulary(("Sheep", "Traffic  Light"), ("In Front of",))
    text = "sheep in front of the TRAFFIC light"
    data = parse_scene(text, names)
    assert (data.x.tolist(), triples(data)) == ([0, 1], [(0, 0, 1)])
    again = parse_scene(format_scene(data, names), names)
    assert (again.x.tolist(), triples(again)) == (data.x.tolist(), triples(data))
    assert parse_scene([["sheep", "in front of", "Sheep#2"]], names).x.tolist() == [0, 0]
    twins = SceneVocabulary(("Sheep", "sheep"), ("on",))
    assert twins.object_id("Sheep") == 0
    with pytest.raises(ValueError, match="'Sheep' and 'sheep', which differ by upper case"):
        parse_scene("sheep", twins)


def test_the_same_mark_is_the_same_object_in_text_and_triples():
    for scene in ("sheep#1 by sheep", [["sheep#1", "by", "sheep"]]):
        assert parse_scene(scene, NAMES).num_nodes == 1


@pytest.mark.parametrize(
    ("scene", "word"),
    [
        ({"objects": [None]}, "object 0 must be a name, got None"),
        ({"objects": [3]}, "object 0 must be a name, got 3"),
        ({"objects": [["sheep"]]}, "object 0 must be a name, got a list"),
        ({"objects": [" "]}, "object 0 must be a name, got ' '"),
        ({"objects": [{"names": []}]}, "first of the names of object 0 must be a name"),
        ({"objects": [{"object_id": 3}]}, "the name of object 0"),
        ({"objects": [{"name": "sheep", "object_id": None}]}, "object_id of object 0"),
        ({"objects": 2 * [{"name": "sheep", "object_id": 4}]}, "object 1 has the object_id 4"),
        ({"objects": None}, "'objects' must be a list, got None"),
        ({"objects": "sheep"}, "'objects' must be a list, got 'sheep'"),
        ({"objects": [], "relationships": None}, "'relationships' must be a list"),
        ({"objects": [], "relationships": {}}, "'relationships' must be a list, got a dict"),
        (
            {"objects": ["sheep"], "relationships": [[0, None, 0]]},
            "the predicate of relationship 0",
        ),
        ({"objects": ["sheep"], "relationships": [[True, "by", 0]]}, "names object True"),
        ({"objects": ["sheep"], "relationships": [[0.0, "by", 0]]}, "names object 0.0"),
        ({"objects": ["sheep"], "relationships": ["0by"]}, "relationship 0 must be"),
        ({"objects": ["sheep"], "relationships": [{}]}, "subject of relationship 0"),
        (
            {
                "objects": [{"name": "sky", "object_id": 1}],
                "relationships": [{"predicate": "by", "subject_id": 1, "object_id": 2}],
            },
            "no object has its object's object_id, 2",
        ),
        ({"relationships": [[0, "by", 0]]}, "brings no subject"),
        ({}, "got nothing"),
        ({"image_id": 3}, "a scene has 'objects'"),
        ([[None, "by", "sheep"]], "the subject of triple 0 must be a name, got None"),
        ([["sheep", 2, "sheep"]], "the predicate of triple 0"),
        ([["sheep", "by", ["sheep"]]], "the object of triple 0 must be a name, got a list"),
        ([["sheep", "by", ""]], "the object of triple 0"),
        ([["sheep#", "by", "sheep"]], "nothing behind '#'"),
        ([None], "triple 0 must be"),
        (["sheep"], "triple 0 must be"),
        ("sheep# by sky", "no object is called 'sheep#'"),
        ("#2 by sky", "no object is called '#2'"),
        (b"sheep", "must be text"),
        (7, "must be text"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_what_is_no_name_is_refused(scene, word):
    with pytest.raises(ValueError, match=re.escape(word)):
        parse_scene(scene, NAMES)


def test_a_mark_ends_with_its_word():
    """The number of a second sheep is no name of two words."""
    with pytest.raises(ValueError, match="no predicate is called 'sheep'"):
        parse_scene("sheep#2 sheep", NAMES)
