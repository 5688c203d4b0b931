from pathlib import Path

import pytest

from graphkit.datasets import UnknownDatasetError, cache_root, data_root, dataset_cards, find_card


def test_every_loader_exists_and_every_card_is_complete():
    names = [card.name.lower() for card in dataset_cards()]
    assert len(set(names)) == len(names)
    for card in dataset_cards():
        assert isinstance(card.resolve(), type)
        assert card.about
        assert card.terms
        assert card.embedded or (card.folder and card.source.count("http") >= 1)
        assert set(card.build_options) <= set(card.options)


def test_cards_are_found_regardless_of_case():
    assert find_card("OGBN-Arxiv").name == "ogbn-arxiv"
    with pytest.raises(UnknownDatasetError, match="did you mean 'PROTEINS'"):
        find_card("PROTEIN")
    with pytest.raises(UnknownDatasetError, match="'digits', 'KarateClub', 'Cora'"):
        find_card("?")


def test_folders_follow_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHKIT_DATA", str(tmp_path / "d"))
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "c"))
    assert (data_root(), cache_root()) == (tmp_path / "d", tmp_path / "c")
    monkeypatch.delenv("GRAPHKIT_DATA")
    assert data_root() == tmp_path / "c" / "data"
    monkeypatch.delenv("GRAPHKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_root() == tmp_path / "x" / "graphkit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == Path.home() / ".cache" / "graphkit"


def counted(card):
    """Graphs, nodes, edges, features and classes."""
    return tuple(
        card.counts.get(word) for word in ("graphs", "nodes", "edges", "features", "classes")
    )


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("digits", (None, 1797, None, 64, 10)),
        ("KarateClub", (None, 34, 156, 34, 4)),
        # Of PyG's table of data sets, edges in both directions.
        ("Cora", (None, 2_708, 10_556, 1_433, 7)),
        ("CiteSeer", (None, 3_327, 9_104, 3_703, 6)),
        ("PubMed", (None, 19_717, 88_648, 500, 3)),
        ("Computers", (None, 13_752, 491_722, 767, 10)),
        ("Photo", (None, 7_650, 238_162, 745, 8)),
        ("CS", (None, 18_333, 163_788, 6_805, 15)),
        ("DBLP", (None, 17_716, 105_734, 1_639, 4)),
        ("CoraFull", (None, 19_793, 126_842, 8_710, 70)),
        ("MUTAG", (188, 3_371, 7_442, 7, 2)),
        ("IMDB-BINARY", (1_000, 19_773, 193_062, 0, 2)),
        ("PROTEINS", (1_113, 43_471, 162_088, 3, 2)),
        ("ENZYMES", (600, 19_580, 74_564, 3, 6)),
        ("PPI", (24, 56_944, None, 50, 121)),
        ("Reddit", (None, 232_965, 114_615_892, 602, 41)),
        # Of the papers.
        ("ogbn-arxiv", (None, 169_343, 1_166_243, 128, 40)),
        ("Tox21", (8_006, None, None, 9, 12)),
        ("ModelNet10Points", (None, None, None, None, 10)),
        ("VRD", (None, None, None, None, 100)),
        ("NW-UCLA", (1_484, 1_484 * 20, None, None, 10)),
        ("UTD-MHAD", (861, 861 * 20, None, None, 27)),
    ],
)
def test_published_numbers(name, counts):
    assert counted(find_card(name)) == counts


UNCHECKED = {"PPI", "ogbn-arxiv"}


def test_numbers_are_compared_where_a_cut_file_would_not_be_seen():
    for card in dataset_cards():
        assert card.checked == (card.name not in UNCHECKED and "NTU" not in card.name), card.name
        raw = {"NTU60", "NTU120"}
        if card.name in raw:
            assert card.raw == "nturgb+d_skeletons"
        else:
            # Files lie in 'raw', or beside each other.
            apart = card.embedded or any(file.startswith("raw/") for file in card.files)
            assert card.raw == ("raw" if apart else ""), card.name


def test_options_and_what_of_them_changes_the_processed_file():
    options = {card.name: card.options for card in dataset_cards() if card.options}
    both = (True, False)
    planetoid = {"split": ("public", "full", "random")}
    planetoid |= dict.fromkeys(("num_train_per_class", "num_val", "num_test"), ())
    tu = {"use_node_attr": both, "use_edge_attr": both}
    known = {
        "digits": dict.fromkeys(("k", "train_per_class", "val_per_class", "seed"), ()),
        **dict.fromkeys(("Cora", "CiteSeer", "PubMed"), planetoid),
        **dict.fromkeys(("MUTAG", "IMDB-BINARY", "PROTEINS", "ENZYMES"), tu),
        **{name: {"to_undirected": both} for name in ("DBLP", "CoraFull", "ogbn-arxiv")},
        "PPI": {"split": ("train", "val", "test")},
        "ModelNet10Points": {"split": ("train", "test"), "num_points": (), "seed": ()},
        "VRD": {"split": ("train", "test")},
    }
    sizes = options.pop("VisualGenome")
    assert options == known
    assert sizes["split"] == ("train", "val", "test")
    built = {card.name: card.build_options for card in dataset_cards() if card.build_options}
    assert set(built.pop("VisualGenome")) == {*sizes} - {"split"}
    assert built == {
        **dict.fromkeys(("DBLP", "CoraFull", "ogbn-arxiv"), ("to_undirected",)),
        "ModelNet10Points": ("num_points", "seed"),
    }


def test_arguments_and_files():
    for name, word in (("DBLP", "dblp"), ("CoraFull", "cora"), ("CS", "CS"), ("MUTAG", "MUTAG")):
        assert find_card(name).arguments == {"name": word}
    files = {card.name: card.files for card in dataset_cards()}
    assert "raw/ind.citeseer.test.index" in files["CiteSeer"]
    assert "raw/MUTAG_node_labels.txt" in files["MUTAG"]
    assert "raw/IMDB-BINARY_node_labels.txt" not in files["IMDB-BINARY"], "it has no features"
    assert files["NTU60"] == ("nturgb+d_skeletons/S001C001P001R001A001.skeleton",)
    assert files["NTU120"] == ("nturgb+d_skeletons/S018C001P008R001A061.skeleton",)
    assert files["NTU120-hrnet"] == ("ntu120_hrnet.pkl",)
    given = find_card("NTU120-hrnet").arguments
    assert given == {"num_classes": 120, "annotations": "ntu120_hrnet.pkl"}
    assert find_card("NTU60").arguments == {"num_classes": 60, "annotations": None}
    assert len(files["PPI"]) == 12
    assert len(files["ogbn-arxiv"]) == 9


def test_addresses_terms_and_sources():
    cards = {card.name: card for card in dataset_cards()}
    hosts = {
        name: card.probe.split("/")[2] for name, card in cards.items() if card.probe is not None
    }
    github = ("Cora", "CiteSeer", "PubMed", "Computers", "Photo", "CS", "DBLP", "CoraFull")
    tu = ("MUTAG", "IMDB-BINARY", "PROTEINS", "ENZYMES")
    assert hosts == {
        **dict.fromkeys(github, "github.com"),
        **dict.fromkeys(tu, "www.chrsmrrs.com"),
        **dict.fromkeys(("PPI", "Reddit"), "data.dgl.ai"),
        "ogbn-arxiv": "snap.stanford.edu",
        "Tox21": "deepchemdata.s3-us-west-1.amazonaws.com",
    }
    assert cards["CS"].probe.endswith("/raw/master/data/npz/ms_academic_cs.npz")
    unsaid = {name for name, card in cards.items() if card.terms == "none stated"}
    assert unsaid == {*tu, "PPI", "ModelNet10Points", "UTD-MHAD", "Reddit"}
    alone = {name for name, card in cards.items() if card.embedded}
    assert alone == {"digits", "KarateClub"}
    for name in alone:
        assert cards[name].source == "comes with graphkit's dependencies"


def test_ones_own_data_is_no_name(tmp_path):
    assert find_card(str(tmp_path / "mine.pt")).name.endswith("mine.pt")
