"""The contract of a layer, as a pytest class to inherit."""

from graphkit.testing.layer.derivatives import DerivativeChecks
from graphkit.testing.layer.execution import ExecutionChecks
from graphkit.testing.layer.explain import ExplainChecks
from graphkit.testing.layer.forms import FormChecks
from graphkit.testing.layer.hooks import HookChecks
from graphkit.testing.layer.inputs import InputChecks
from graphkit.testing.layer.keywords import KeywordChecks
from graphkit.testing.layer.module import ModuleChecks
from graphkit.testing.layer.oracle import OracleChecks
from graphkit.testing.layer.reuse import ReuseChecks
from graphkit.testing.layer.symmetry import SymmetryChecks

__all__ = ["LayerSuite"]


class LayerSuite(
    OracleChecks,
    SymmetryChecks,
    InputChecks,
    FormChecks,
    ModuleChecks,
    KeywordChecks,
    ExecutionChecks,
    DerivativeChecks,
    ReuseChecks,
    HookChecks,
    ExplainChecks,
):
    """The contract of a layer ``(x, edge_index, …) -> Tensor`` with one row per node.

    A layer's test supplies :meth:`make` and :meth:`dense_reference` and inherits every check
    listed by :meth:`checks`. Layers with further inputs override :meth:`edge_inputs` (tensors
    with a row per edge) or :meth:`call`; the class attributes :attr:`in_channels`,
    :attr:`hops`, :attr:`directed` and :attr:`jitter` describe the layer.
    What a layer does not claim is named in ``not_claimed``, each with its reason.

    Values are compared in float64 and eval mode, with all parameters moved off their initial
    values; ``UNLOCK_SEED=1`` frees the seeds.

    Example:
        >>> from torch_geometric.nn import SimpleConv
        >>> from graphkit.testing import dense_adjacency
        >>> class TestSimpleConv(LayerSuite):
        ...     not_claimed = {"reset_parameters": "the layer has no parameters"}
        ...     def make(self):
        ...         return SimpleConv()
        ...     def dense_reference(self, layer, x, edge_index):
        ...         return dense_adjacency(edge_index, x.size(0), dtype=x.dtype) @ x
        >>> TestSimpleConv.check("node_permutation")()
        >>> "gradcheck" in TestSimpleConv.checks()
        True
    """
