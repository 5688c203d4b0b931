"""Which function asks an adapter's graph its question, and which adapters have none."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.problems.adapter_graphs import models, moments, parts, samples
from benchmarks.problems.adapter_graphs.question import Question

__all__ = ["SOURCES", "WITHOUT"]

SOURCES: dict[str, Callable[[int], Question]] = {
    "CausalPairGraphAdapter": samples.causal_pairs,
    "ChannelGraphAdapter": models.channels,
    "ClassTransferGraphAdapter": models.class_transfer,
    "CoadaptationGraphAdapter": parts.units,
    "CoassociationGraphAdapter": samples.coassociation,
    "CommonSpaceGraphAdapter": models.common_space,
    "DisagreementGraphAdapter": models.disagreement,
    "DomainGraphAdapter": samples.domains,
    "EpisodeGraphAdapter": samples.episodes,
    "FaceGraphAdapter": parts.faces,
    "GraftLatticeAdapter": models.lattice,
    "ImpressionGraphAdapter": samples.impressions,
    "InterventionGraphAdapter": samples.interventions,
    "LatticeGraphAdapter": moments.lattices,
    "LineageGraphAdapter": models.lineage,
    "MomentContextGraphAdapter": moments.frames,
    "ObjectGraphAdapter": parts.objects,
    "OrbitGraphAdapter": samples.orbits,
    "PatchGraphAdapter": parts.patches,
    "ProposalGraphAdapter": moments.proposals,
    "ProvenanceGraphAdapter": samples.provenance,
    "PruningGraphAdapter": models.kernels,
    "PseudoLabelGraphAdapter": samples.pseudo_labels,
    "SignedGraphAdapter": models.signed,
    "StyleGraphAdapter": samples.styles,
    "StyledPixelAdapter": parts.pixels,
    "TrackGraphAdapter": moments.tracked,
    "TrackingAdapter": moments.candidates,
    "TrustGraphAdapter": models.trust,
    "TwoSampleGraphAdapter": models.two_samples,
    "TwoViewGraphAdapter": samples.two_views,
}
"""By adapter: ``seed -> Question``; the first line of each docstring says what is asked."""

WITHOUT: dict[str, str] = {
    "AlignmentGraphAdapter": (
        "a symbol's node holds the state of a decoder that was told the true symbols before it, so "
        "that its neighbours tell the answer"
    ),
    "AmalgamationGraphAdapter": (
        "its nodes are the blocks of one set of networks, and their label, whose block one is, "
        "is how the graph was written down"
    ),
    "LabelGraphAdapter": (
        "a node for each label of a data set, ten of digits, labelled by the teacher whose weights "
        "are its features: too few to learn from, and nothing that only data could tell"
    ),
    "LexiconGraphAdapter": (
        "its only features are counts of its edges, and no data set here says anything more of "
        "words than which symbols they have"
    ),
}
"""Adapters whose graphs nothing sensible is asked of, and why."""
