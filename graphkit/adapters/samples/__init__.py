"""Adapters whose nodes are samples: images of a task or of a data set."""

from graphkit.adapters.samples.causal_adv import CausalPairGraphAdapter
from graphkit.adapters.samples.class_regularization import EpisodeGraphAdapter
from graphkit.adapters.samples.consistency import CoassociationGraphAdapter, TwoViewGraphAdapter
from graphkit.adapters.samples.dccd import DomainGraphAdapter, InterventionGraphAdapter
from graphkit.adapters.samples.dynamic_instance_norm import StyleGraphAdapter
from graphkit.adapters.samples.impression_space import ImpressionGraphAdapter
from graphkit.adapters.samples.pseudo_labels import PseudoLabelGraphAdapter
from graphkit.adapters.samples.random_transform import OrbitGraphAdapter, orbit_energy
from graphkit.adapters.samples.snapmix import ProvenanceGraphAdapter

__all__ = [
    "CausalPairGraphAdapter",
    "CoassociationGraphAdapter",
    "DomainGraphAdapter",
    "EpisodeGraphAdapter",
    "ImpressionGraphAdapter",
    "InterventionGraphAdapter",
    "OrbitGraphAdapter",
    "ProvenanceGraphAdapter",
    "PseudoLabelGraphAdapter",
    "StyleGraphAdapter",
    "TwoViewGraphAdapter",
    "orbit_energy",
]
