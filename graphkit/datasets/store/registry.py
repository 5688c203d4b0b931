"""The data sets graphkit knows: their files, their counts, where they come from.

Importing this module loads neither torch nor PyG.
"""

# fingerprint: not counted

from __future__ import annotations

from graphkit.datasets.store.dataset_card import DatasetCard
from graphkit.datasets.store.user_data import is_user_data, user_card
from graphkit.words import did_you_mean

__all__ = ["DatasetCard", "UnknownDatasetError", "dataset_cards", "find_card"]


class UnknownDatasetError(LookupError):
    """No data set has the name that was asked for; the message lists the nearest names."""

    def __str__(self) -> str:
        return str(self.args[0])


IN_PLACE = "graphkit.datasets.store.in_place"
TU = "https://www.chrsmrrs.com/graphkerneldatasets"


def planetoid(name: str, nodes: int, edges: int, features: int, classes: int) -> DatasetCard:
    parts = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
    return DatasetCard(
        name=name,
        about="citation graph, public split",
        loader=f"{IN_PLACE}:Planetoid",
        folder=f"Planetoid/{name}",
        files=tuple(f"raw/ind.{name.lower()}.{part}" for part in parts),
        arguments={"name": name},
        options={
            "split": ("public", "full", "random"),
            "num_train_per_class": (),
            "num_val": (),
            "num_test": (),
        },
        counts={"nodes": nodes, "edges": edges, "features": features, "classes": classes},
        probe="https://github.com/kimiyoung/planetoid/raw/master/data/ind.cora.y",
        source="folder 'data' of https://github.com/kimiyoung/planetoid",
        terms="MIT (repository)",
    )


def npz(
    name: str, loader: str, folder: str, file: str, about: str, source: str, **counts: int
) -> DatasetCard:
    options = {"to_undirected": (True, False)} if loader == "CitationFull" else {}
    return DatasetCard(
        name=name,
        about=about,
        loader=f"{IN_PLACE}:{loader}",
        folder=folder,
        files=(f"raw/{file}",),
        arguments={"name": folder.rpartition("/")[2]},
        options=options,
        build_options=tuple(options),
        counts=counts,
        probe=f"{source.replace('/tree/', '/raw/')}/{file}",
        source=f"{file} of {source}",
        terms="MIT (repository)",
    )


def tu(name: str, about: str, graphs: int, nodes: int, edges: int, **counts: int) -> DatasetCard:
    parts = ["A", "graph_indicator", "graph_labels"]
    parts += ["node_labels"] if counts["features"] else []
    return DatasetCard(
        name=name,
        about=f"{graphs:,} {about}",
        loader=f"{IN_PLACE}:TUDataset",
        folder=f"TUDataset/{name}",
        files=tuple(f"raw/{name}_{part}.txt" for part in parts),
        arguments={"name": name},
        options={"use_node_attr": (True, False), "use_edge_attr": (True, False)},
        counts={"graphs": graphs, "nodes": nodes, "edges": edges, **counts},
        probe=f"{TU}/{name}.zip",
        source=(
            f"{TU}/{name}.zip, its files in 'raw/'; GIN's folds '10fold_idx/' from "
            "dataset.zip of https://github.com/weihua916/powerful-gnns"
        ),
    )


def ntu(classes: int, annotations: str | None = None) -> DatasetCard:
    """NTU RGB+D from the raw text, or from a pickle."""
    first = "nturgb+d_skeletons/S001C001P001R001A001.skeleton"
    if classes == 120 and annotations is None:
        first = "nturgb+d_skeletons/S018C001P008R001A061.skeleton"
    name = f"NTU{classes}"
    source = (
        "ask for the skeletons at https://rose1.ntu.edu.sg/dataset/actionRecognition and unpack "
        "them all into 'nturgb+d_skeletons/', with NTU_RGBD_samples_with_missing_skeletons.txt"
    )
    if annotations is not None:
        name = f"{name}-{annotations.split('_')[1].partition('.')[0]}"
        source = f"{annotations} from the list in https://github.com/kennymckormick/pyskl"
    return DatasetCard(
        name=name,
        about=f"skeletons, {classes} actions of one or two persons",
        loader="graphkit.datasets.skeletons.ntu.rgbd:NTURGBD",
        folder="NTURGBD",
        files=(annotations or first,),
        raw="" if annotations else "nturgb+d_skeletons",
        arguments={"num_classes": classes, "annotations": annotations},
        checked=False,
        source=source,
        terms="academic research only; not to be passed on",
    )


SHCHUR = "https://github.com/shchur/gnn-benchmark/tree/master/data/npz"
G2G = "https://github.com/abojchevski/graph2gauss/tree/master/data"
PPI_PARTS = ("feats.npy", "graph_id.npy", "graph.json", "labels.npy")
NTU_PICKLES = ("3danno", "hrnet")
ARXIV_RAW = ("edge", "node-feat", "node-label", "node_year", "num-node-list", "num-edge-list")
VG_FILES = (
    "image_data.json",
    "objects.json",
    "relationships.json",
    "object_alias.txt",
    "relationship_alias.txt",
    "vg_splits.json",
)
VG_SETTINGS = (
    "variant",
    "min_image_size",
    "min_object_size",
    "min_object_instances",
    "min_predicate_instances",
    "min_objects",
    "max_objects",
    "min_triples",
    "max_triples",
)

CARDS = (
    DatasetCard(
        name="digits",
        about="scikit-learn's digits as a k-NN graph",
        loader="graphkit.datasets.digits:DigitsGraph",
        options={"k": (), "train_per_class": (), "val_per_class": (), "seed": ()},
        counts={"nodes": 1797, "features": 64, "classes": 10},
        terms="BSD-3-Clause (scikit-learn); UCI data, CC BY 4.0",
    ),
    DatasetCard(
        name="KarateClub",
        about="Zachary's karate club, four communities",
        loader="torch_geometric.datasets:KarateClub",
        counts={"nodes": 34, "edges": 156, "features": 34, "classes": 4},
        terms="MIT (PyG)",
    ),
    planetoid("Cora", 2708, 10556, 1433, 7),
    planetoid("CiteSeer", 3327, 9104, 3703, 6),
    planetoid("PubMed", 19717, 88648, 500, 3),
    npz(
        "Computers",
        "Amazon",
        "Amazon/Computers",
        "amazon_electronics_computers.npz",
        "co-purchase graph",
        SHCHUR,
        nodes=13752,
        edges=491722,
        features=767,
        classes=10,
    ),
    npz(
        "Photo",
        "Amazon",
        "Amazon/Photo",
        "amazon_electronics_photo.npz",
        "co-purchase graph",
        SHCHUR,
        nodes=7650,
        edges=238162,
        features=745,
        classes=8,
    ),
    npz(
        "CS",
        "Coauthor",
        "Coauthor/CS",
        "ms_academic_cs.npz",
        "co-author graph",
        SHCHUR,
        nodes=18333,
        edges=163788,
        features=6805,
        classes=15,
    ),
    npz(
        "DBLP",
        "CitationFull",
        "CitationFull/dblp",
        "dblp.npz",
        "citation graph",
        G2G,
        nodes=17716,
        edges=105734,
        features=1639,
        classes=4,
    ),
    npz(
        "CoraFull",
        "CitationFull",
        "CitationFull/cora",
        "cora.npz",
        "citation graph",
        G2G,
        nodes=19793,
        edges=126842,
        features=8710,
        classes=70,
    ),
    tu("MUTAG", "molecules", 188, 3371, 7442, features=7, classes=2),
    tu("IMDB-BINARY", "actors' ego networks", 1000, 19773, 193062, features=0, classes=2),
    tu("PROTEINS", "proteins", 1113, 43471, 162088, features=3, classes=2),
    tu("ENZYMES", "proteins", 600, 19580, 74564, features=3, classes=6),
    DatasetCard(
        name="PPI",
        about="24 protein graphs, several labels per node",
        loader=f"{IN_PLACE}:PPI",
        folder="PPI",
        files=tuple(f"raw/{s}_{part}" for s in ("train", "valid", "test") for part in PPI_PARTS),
        options={"split": ("train", "val", "test")},
        counts={"graphs": 24, "nodes": 56944, "features": 50, "classes": 121},
        checked=False,
        probe="https://data.dgl.ai/dataset/ppi.zip",
        source="https://data.dgl.ai/dataset/ppi.zip, its files in 'raw/'",
    ),
    DatasetCard(
        name="ogbn-arxiv",
        about="citation graph of arXiv papers, split by year",
        loader="graphkit.datasets.ogbn_arxiv:OGBNArxiv",
        folder="ogbn_arxiv",
        files=(
            *(f"raw/{part}.csv.gz" for part in ARXIV_RAW),
            *(f"split/time/{part}.csv.gz" for part in ("train", "valid", "test")),
        ),
        options={"to_undirected": (True, False)},
        build_options=("to_undirected",),
        counts={"nodes": 169343, "edges": 1166243, "features": 128, "classes": 40},
        checked=False,
        probe="http://snap.stanford.edu/ogb/data/nodeproppred/arxiv.zip",
        source=(
            "http://snap.stanford.edu/ogb/data/nodeproppred/arxiv.zip, its folder 'arxiv' "
            "renamed to 'ogbn_arxiv'"
        ),
        terms="ODC-BY",
    ),
    DatasetCard(
        name="Tox21",
        about="molecules, twelve assays; needs rdkit",
        loader="graphkit.datasets.tox21:Tox21",
        folder="tox21",
        files=("tox21.csv.gz",),
        raw="",
        counts={"graphs": 8006, "features": 9, "classes": 12},
        probe="https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/tox21.csv.gz",
        source=(
            "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/tox21.csv.gz, or "
            "datasets/tox21.csv.gz of https://github.com/deepchem/deepchem"
        ),
        terms="MIT (repository)",
    ),
    DatasetCard(
        name="ModelNet10Points",
        about="shapes of ten kinds as point sets, drawn from voxels",
        loader="graphkit.datasets.modelnet_points:ModelNet10Points",
        folder="ModelNet10",
        files=("modelnet10.npz",),
        raw="",
        options={"split": ("train", "test"), "num_points": (), "seed": ()},
        build_options=("num_points", "seed"),
        counts={"classes": 10},
        source="modelnet10.npz of https://github.com/amitregmi/VoxNet-Google-Colab",
    ),
    DatasetCard(
        name="VRD",
        about="scene graphs of photographs, 100 categories, 70 predicates",
        loader="graphkit.datasets.scenes.vrd:VRDSceneGraphs",
        folder="VRD",
        files=("annotations_train.json", "annotations_test.json"),
        raw="",
        options={"split": ("train", "test")},
        counts={"classes": 100},
        source=(
            "data/VRD/annotations_train.json and annotations_test.json of "
            "https://github.com/StanfordVL/ReferringRelationships"
        ),
        terms="MIT (repository)",
    ),
    DatasetCard(
        name="VisualGenome",
        about="scene graphs of photographs, 178 categories, 45 predicates",
        loader="graphkit.datasets.scenes.visual_genome:VisualGenomeGraphs",
        folder="VisualGenome",
        files=VG_FILES,
        raw="",
        options={"split": ("train", "val", "test"), **dict.fromkeys(VG_SETTINGS, ())},
        build_options=VG_SETTINGS,
        source=(
            "https://homes.cs.washington.edu/~ranjay/visualgenome/api.html (version 1.4), and "
            "sg2im/data/vg_splits.json of https://github.com/google/sg2im"
        ),
        terms="CC BY 4.0",
    ),
    DatasetCard(
        name="NW-UCLA",
        about="skeletons, ten actions seen by three cameras",
        loader="graphkit.datasets.skeletons.nw_ucla:NWUCLA",
        folder="skeleton",
        files=("nw_ucla.npz",),
        raw="",
        counts={"graphs": 1484, "nodes": 29680, "classes": 10},
        source="the skeletons of https://github.com/zjyyjz556/ctrgcn, joined in nw_ucla.npz",
        terms="CC BY-NC 4.0 (repository)",
    ),
    DatasetCard(
        name="UTD-MHAD",
        about="skeletons, 27 actions of eight persons",
        loader="graphkit.datasets.skeletons.utd_mhad:UTDMHAD",
        folder="skeleton",
        files=("utd_mhad.npz",),
        raw="",
        counts={"graphs": 861, "nodes": 17220, "classes": 27},
        source=(
            "the skeletons of https://github.com/woo-chia-wei/kinect-sequence-classification, "
            "joined in utd_mhad.npz"
        ),
    ),
    ntu(60),
    ntu(120),
    *(ntu(classes, f"ntu{classes}_{kind}.pkl") for classes in (60, 120) for kind in NTU_PICKLES),
    DatasetCard(
        name="Reddit",
        about="posts linked by common commenters",
        loader=f"{IN_PLACE}:Reddit",
        folder="Reddit",
        files=("raw/reddit_data.npz", "raw/reddit_graph.npz"),
        counts={"nodes": 232965, "edges": 114615892, "features": 602, "classes": 41},
        probe="https://data.dgl.ai/dataset/reddit.zip",
        source="https://data.dgl.ai/dataset/reddit.zip, its files in 'raw/'",
    ),
)


def dataset_cards() -> tuple[DatasetCard, ...]:
    """All data sets :func:`graphkit.datasets.load` knows."""
    return CARDS


def find_card(name: str) -> DatasetCard:
    r"""The card of a data set, regardless of case.

    Args:
        name (str): Name of the data set; or, of one's own, the path of saved graphs (``.pt``) or
            ``module:Class``.

    Raises:
        UnknownDatasetError: If there is none; the message lists the nearest names.
    """
    if is_user_data(name):
        return user_card(name)
    by_lower = {card.name.lower(): card for card in CARDS}
    card = by_lower.get(name.lower())
    if card is None:
        hint = did_you_mean(name, [known.name for known in CARDS])
        raise UnknownDatasetError(
            f"no data set is called {name!r}; {hint} `python -m graphkit data` lists all of them."
        )
    return card
