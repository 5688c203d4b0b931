"""Distillation: losses between a student and a teacher, and the scheme that attaches them."""

from graphkit.distill.amalgamation.common_features import CommonFeatureLearning
from graphkit.distill.data_free.adversarial import DFAD
from graphkit.distill.data_free.generator import ImageGenerator
from graphkit.distill.data_free.graph_generator import GraphGenerator
from graphkit.distill.distillation import Distillation
from graphkit.distill.distiller import Distiller
from graphkit.distill.loss import DistillationLoss
from graphkit.distill.losses.attention_transfer import AttentionTransferLoss
from graphkit.distill.losses.edge_similarity import edge_similarity
from graphkit.distill.losses.fitnet import FitNetLoss
from graphkit.distill.losses.global_structure import GlobalStructureLoss
from graphkit.distill.losses.graph_contrastive import GraphContrastiveLoss
from graphkit.distill.losses.local_structure import LocalStructureLoss, local_structure
from graphkit.distill.losses.mmd import MMDLoss
from graphkit.distill.losses.soft_target import SoftTargetLoss

__all__ = [
    "DFAD",
    "AttentionTransferLoss",
    "CommonFeatureLearning",
    "Distillation",
    "DistillationLoss",
    "Distiller",
    "FitNetLoss",
    "GlobalStructureLoss",
    "GraphContrastiveLoss",
    "GraphGenerator",
    "ImageGenerator",
    "LocalStructureLoss",
    "MMDLoss",
    "SoftTargetLoss",
    "edge_similarity",
    "local_structure",
]
