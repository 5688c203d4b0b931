"""Drop-in layers and whole models."""

from graphkit.data.skeleton_graph import SkeletonGraph
from graphkit.nn.continuous_dropout import ContinuousDropout
from graphkit.nn.conv import (
    DisenConv,
    FactorConv,
    FusedGATConv,
    FusedGATv2Conv,
    FusedGCNConv,
    FusedGINConv,
    FusedSAGEConv,
    FusedTransformerConv,
    GraphDIN,
    SPAGANConv,
    TripleConv,
)
from graphkit.nn.factor_balance import FactorBalance
from graphkit.nn.factor_discriminator import FactorDiscriminator
from graphkit.nn.fused_twins import Acceleration, accelerate
from graphkit.nn.models import (
    CTRGCN,
    DGCNN,
    SPAGAN,
    STGCN,
    STIGCN,
    FactorGCN,
    SceneGraphEncoder,
    SceneGraphEnricher,
    STGCNpp,
)
from graphkit.nn.neighbours import NearestNeighbours, nearest_neighbours
from graphkit.nn.scenes.global_graph_discriminator import GlobalGraphDiscriminator
from graphkit.nn.scenes.local_triple_discriminator import LocalTripleDiscriminator
from graphkit.nn.scenes.training import EnrichmentTask, SceneAdversary
from graphkit.nn.skeletons.st_inception_block import STInceptionBlock
from graphkit.ops.points.graphs import knn, knn_graph, radius, radius_graph

__all__ = [
    "CTRGCN",
    "DGCNN",
    "SPAGAN",
    "STGCN",
    "STIGCN",
    "Acceleration",
    "ContinuousDropout",
    "DisenConv",
    "EnrichmentTask",
    "FactorBalance",
    "FactorConv",
    "FactorDiscriminator",
    "FactorGCN",
    "FusedGATConv",
    "FusedGATv2Conv",
    "FusedGCNConv",
    "FusedGINConv",
    "FusedSAGEConv",
    "FusedTransformerConv",
    "GlobalGraphDiscriminator",
    "GraphDIN",
    "LocalTripleDiscriminator",
    "NearestNeighbours",
    "SPAGANConv",
    "STGCNpp",
    "STInceptionBlock",
    "SceneAdversary",
    "SceneGraphEncoder",
    "SceneGraphEnricher",
    "SkeletonGraph",
    "TripleConv",
    "accelerate",
    "knn",
    "knn_graph",
    "nearest_neighbours",
    "radius",
    "radius_graph",
]
