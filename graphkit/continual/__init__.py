"""Learning tasks one after another without forgetting, for any PyG model and any loop."""

from graphkit.continual.er_gnn import ERGNN
from graphkit.continual.ewc import EWC
from graphkit.continual.fine_tune import FineTune
from graphkit.continual.gem import GEM
from graphkit.continual.joint_train import JointTrain
from graphkit.continual.loss_structure import structure
from graphkit.continual.lwf import LwF
from graphkit.continual.mas import MAS
from graphkit.continual.quadratic import QuadraticPenalty
from graphkit.continual.ssm import SSM
from graphkit.continual.strategy import Strategy
from graphkit.continual.task_prototypes import TaskPrototypes
from graphkit.continual.tpp import TPP
from graphkit.continual.twp import TWP

__all__ = [
    "ERGNN",
    "EWC",
    "GEM",
    "MAS",
    "SSM",
    "TPP",
    "TWP",
    "FineTune",
    "JointTrain",
    "LwF",
    "QuadraticPenalty",
    "Strategy",
    "TaskPrototypes",
    "structure",
]
