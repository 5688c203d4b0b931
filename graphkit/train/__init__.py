"""One training loop on Lightning Fabric, for every method and any scale."""

from graphkit.metrics import accuracy
from graphkit.train.callback import Callback
from graphkit.train.checkpoint import load_checkpoint, save_checkpoint
from graphkit.train.collapse_monitor import CollapseMonitor, CollapseWarning, label_entropy
from graphkit.train.gan_losses import GANLoss, gan_loss
from graphkit.train.noise_task import NoiseTask
from graphkit.train.one_stage import OneStageLosses, OneStageStep
from graphkit.train.opponent import Opponent
from graphkit.train.path_rounds import PathRounds
from graphkit.train.progress import ProgressBar
from graphkit.train.run import Result, Run
from graphkit.train.sampled_task import SampledNodeTask
from graphkit.train.task import GraphTask, NodeTask, ShardedTask, Task
from graphkit.train.tensor_task import TensorTask
from graphkit.train.trainer import Trainer, make_fabric, seed_everything
from graphkit.train.weight_average import WeightAverage

__all__ = [
    "Callback",
    "CollapseMonitor",
    "CollapseWarning",
    "GANLoss",
    "GraphTask",
    "NodeTask",
    "NoiseTask",
    "OneStageLosses",
    "OneStageStep",
    "Opponent",
    "PathRounds",
    "ProgressBar",
    "Result",
    "Run",
    "SampledNodeTask",
    "ShardedTask",
    "Task",
    "TensorTask",
    "Trainer",
    "WeightAverage",
    "accuracy",
    "gan_loss",
    "label_entropy",
    "load_checkpoint",
    "make_fabric",
    "save_checkpoint",
    "seed_everything",
]
