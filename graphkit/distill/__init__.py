"""Distillation: losses between a student and a teacher, and the scheme that attaches them."""

from graphkit.distill.attention_transfer import AttentionTransferLoss
from graphkit.distill.common_features import CommonFeatureLearning
from graphkit.distill.distillation import Distillation
from graphkit.distill.distiller import Distiller
from graphkit.distill.fitnet import FitNetLoss
from graphkit.distill.global_structure import GlobalStructureLoss
from graphkit.distill.graph_contrastive import GraphContrastiveLoss
from graphkit.distill.local_structure import LocalStructureLoss, local_structure
from graphkit.distill.loss import DistillationLoss
from graphkit.distill.mmd import MMDLoss
from graphkit.distill.similarity import edge_similarity
from graphkit.distill.soft_target import SoftTargetLoss

__all__ = [
    "AttentionTransferLoss",
    "CommonFeatureLearning",
    "Distillation",
    "DistillationLoss",
    "Distiller",
    "FitNetLoss",
    "GlobalStructureLoss",
    "GraphContrastiveLoss",
    "LocalStructureLoss",
    "MMDLoss",
    "SoftTargetLoss",
    "edge_similarity",
    "local_structure",
]
