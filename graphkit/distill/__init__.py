"""Distillation: losses between a student and a teacher, and the scheme that attaches them."""

from graphkit.distill.amalgamation.common_features import CommonFeatureLearning
from graphkit.distill.amalgamation.customised_student import CustomizedStudent
from graphkit.distill.amalgamation.group_stack import GroupStackAmalgamation
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
from graphkit.distill.losses.inheritance_exploration import (
    InheritanceExploration,
    factor_distance,
)
from graphkit.distill.losses.local_structure import LocalStructureLoss, local_structure
from graphkit.distill.losses.mmd import MMDLoss
from graphkit.distill.losses.soft_target import SoftTargetLoss
from graphkit.distill.mutual_exploration import MutualExploration, MutualTask

__all__ = [
    "DFAD",
    "AttentionTransferLoss",
    "CommonFeatureLearning",
    "CustomizedStudent",
    "Distillation",
    "DistillationLoss",
    "Distiller",
    "FitNetLoss",
    "GlobalStructureLoss",
    "GraphContrastiveLoss",
    "GraphGenerator",
    "GroupStackAmalgamation",
    "ImageGenerator",
    "InheritanceExploration",
    "LocalStructureLoss",
    "MMDLoss",
    "MutualExploration",
    "MutualTask",
    "SoftTargetLoss",
    "edge_similarity",
    "factor_distance",
    "local_structure",
]
