"""Whole models."""

from graphkit.nn.models.dgcnn import DGCNN
from graphkit.nn.models.factor_gcn import FactorGCN
from graphkit.nn.models.scene_graph_encoder import SceneGraphEncoder
from graphkit.nn.models.scene_graph_enricher import SceneGraphEnricher
from graphkit.nn.models.spagan import SPAGAN

__all__ = ["DGCNN", "SPAGAN", "FactorGCN", "SceneGraphEncoder", "SceneGraphEnricher"]
