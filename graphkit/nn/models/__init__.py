"""Whole models."""

from graphkit.nn.models.ctrgcn import CTRGCN
from graphkit.nn.models.dgcnn import DGCNN
from graphkit.nn.models.factor_gcn import FactorGCN
from graphkit.nn.models.scene_graph_encoder import SceneGraphEncoder
from graphkit.nn.models.scene_graph_enricher import SceneGraphEnricher
from graphkit.nn.models.spagan import SPAGAN
from graphkit.nn.models.stgcn import STGCN
from graphkit.nn.models.stgcnpp import STGCNpp
from graphkit.nn.models.stigcn import STIGCN

__all__ = [
    "CTRGCN",
    "DGCNN",
    "SPAGAN",
    "STGCN",
    "STIGCN",
    "FactorGCN",
    "STGCNpp",
    "SceneGraphEncoder",
    "SceneGraphEnricher",
]
