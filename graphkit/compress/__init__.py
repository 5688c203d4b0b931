"""Compression: smaller networks out of trained ones."""

from graphkit.compress.block_net import BlockNet, GraphBlock, cut_gnn
from graphkit.compress.channel_dependency import ChannelDependency
from graphkit.compress.evolution import Lineage
from graphkit.compress.evolutionary_pruning import EvolutionaryPruning
from graphkit.compress.folding import fold
from graphkit.compress.graft_task import GraftTask
from graphkit.compress.netgraft import NetGraft, graft_loss
from graphkit.compress.packed_layer import PackedLayer, stored_bytes
from graphkit.compress.quantization_network import QuantizationNetwork
from graphkit.compress.step_quantizer import StepQuantizer
from graphkit.compress.temperature_schedule import TemperatureSchedule

__all__ = [
    "BlockNet",
    "ChannelDependency",
    "EvolutionaryPruning",
    "GraftTask",
    "GraphBlock",
    "Lineage",
    "NetGraft",
    "PackedLayer",
    "QuantizationNetwork",
    "StepQuantizer",
    "TemperatureSchedule",
    "cut_gnn",
    "fold",
    "graft_loss",
    "stored_bytes",
]
