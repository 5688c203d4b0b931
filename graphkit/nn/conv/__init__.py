"""Message-passing layers."""

from graphkit.nn.conv.disen_conv import DisenConv
from graphkit.nn.conv.factor_conv import FactorConv
from graphkit.nn.conv.fused.gat_conv import FusedGATConv
from graphkit.nn.conv.fused.gatv2_conv import FusedGATv2Conv
from graphkit.nn.conv.fused.gcn_conv import FusedGCNConv
from graphkit.nn.conv.fused.gin_conv import FusedGINConv
from graphkit.nn.conv.fused.sage_conv import FusedSAGEConv
from graphkit.nn.conv.fused.transformer_conv import FusedTransformerConv
from graphkit.nn.conv.graph_din import GraphDIN
from graphkit.nn.conv.spagan_conv import SPAGANConv
from graphkit.nn.conv.triple_conv import TripleConv

__all__ = [
    "DisenConv",
    "FactorConv",
    "FusedGATConv",
    "FusedGATv2Conv",
    "FusedGCNConv",
    "FusedGINConv",
    "FusedSAGEConv",
    "FusedTransformerConv",
    "GraphDIN",
    "SPAGANConv",
    "TripleConv",
]
