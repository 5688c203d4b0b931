"""Image, video and audio methods themselves; torch only, no PyG."""

from graphkit.train import TensorTask
from graphkit.vision.actions.aher_loss import AherLoss
from graphkit.vision.actions.aher_steps import AherBatch, AherSteps
from graphkit.vision.actions.ahernet import AherNet
from graphkit.vision.actions.anchors import Anchors, pyramid_anchors
from graphkit.vision.actions.gtan import GTAN
from graphkit.vision.actions.gtan_loss import GTANLoss
from graphkit.vision.actions.moment_context import ContextDiscriminator, ContextGenerator, surround
from graphkit.vision.actions.segments import (
    decode,
    encode,
    group_kernels,
    segment_iou,
    temporal_nms,
)
from graphkit.vision.attacks import attack_ensemble, logit_margin, pgd
from graphkit.vision.causal_adv import CausalAdv
from graphkit.vision.class_regularization import (
    ClassRegularization,
    EpisodeTask,
    draw_episode,
    meta_shift,
)
from graphkit.vision.faces.bones import FaceBones, FaceParameters
from graphkit.vision.faces.fitting import FaceFit, align_faces, fit_faces, measure_faces
from graphkit.vision.faces.imitator import Imitator
from graphkit.vision.faces.regressor import FaceRegressor, LocalContrast
from graphkit.vision.faces.strokes import draw_strokes
from graphkit.vision.group_moments import GroupMoments
from graphkit.vision.impression_space import ImpressionSpace
from graphkit.vision.lips.attention_decoder import (
    AttentionDecoder,
    Decoded,
    Hypotheses,
    log_likelihood,
)
from graphkit.vision.lips.attention_seq2seq import AttentionSeq2Seq
from graphkit.vision.lips.cascade_seq2seq import CascadeSeq2Seq, Stage
from graphkit.vision.lips.clips import Clip, log_mel, mouth_centre, mouth_crops, read_clip
from graphkit.vision.lips.libs import LIBS, Hearing, Taught
from graphkit.vision.lips.sequence_encoder import (
    Encoded,
    Padded,
    SequenceEncoder,
    SymbolEmbedding,
    pad_symbols,
)
from graphkit.vision.mobile_net import MobileNetFeatures
from graphkit.vision.patch_reordering import PatchReorder, PatchReorderCNN
from graphkit.vision.random_transform import RandomTransform2d, transform2d
from graphkit.vision.reid.consistency_clustering import ConsistencyClustering, embedding_spread
from graphkit.vision.reid.dccd import DCCD, hard_triplet_loss
from graphkit.vision.reid.intervention import Intervention, wasserstein_distances
from graphkit.vision.reid.k_reciprocal import jaccard_edges, rerank
from graphkit.vision.reid.losses import (
    batch_nuclear_norm,
    multi_similarity_loss,
    smoothed_cross_entropy,
)
from graphkit.vision.reid.pseudo_labels import (
    CentroidHead,
    DensityClusters,
    MeansClusters,
    density_radius,
    match_labels,
)
from graphkit.vision.reid.rounds import ClusteringRounds, PseudoLabelTask
from graphkit.vision.reid.sskd import SSKD
from graphkit.vision.scenes.layout import boxes_to_layout, masks_to_layout
from graphkit.vision.scenes.layout_to_image import LayoutToImage
from graphkit.vision.scenes.scene_layout import SceneLayout
from graphkit.vision.scenes.scene_to_image import SceneToImage, scene_image_loss
from graphkit.vision.snapmix import Mixed, SnapMix, percent_of, semantic_percent
from graphkit.vision.styles.dynamic_conv import dynamic_conv2d, instance_normalize
from graphkit.vision.styles.dynamic_instance_norm import DynamicInstanceNorm, StyleKernel
from graphkit.vision.styles.style_transfer import (
    DINStyleTransfer,
    StyleEncoder,
    content_loss,
    style_loss,
)
from graphkit.vision.tracking.density import gaussian_rows, render_density
from graphkit.vision.tracking.density_net import DensityNet, density_loss
from graphkit.vision.tracking.tracking_by_counting import TrackingByCounting
from graphkit.vision.udor import UDOR, fuzzy_loss, udor_loss
from graphkit.vision.udor_anchor import (
    anchor_clusters,
    modularity,
    removal_matrix,
    visual_integrity,
)

__all__ = [
    "DCCD",
    "GTAN",
    "LIBS",
    "SSKD",
    "UDOR",
    "AherBatch",
    "AherLoss",
    "AherNet",
    "AherSteps",
    "Anchors",
    "AttentionDecoder",
    "AttentionSeq2Seq",
    "CascadeSeq2Seq",
    "CausalAdv",
    "CentroidHead",
    "ClassRegularization",
    "Clip",
    "ClusteringRounds",
    "ConsistencyClustering",
    "ContextDiscriminator",
    "ContextGenerator",
    "DINStyleTransfer",
    "Decoded",
    "DensityClusters",
    "DensityNet",
    "DynamicInstanceNorm",
    "Encoded",
    "EpisodeTask",
    "FaceBones",
    "FaceFit",
    "FaceParameters",
    "FaceRegressor",
    "GTANLoss",
    "GroupMoments",
    "Hearing",
    "Hypotheses",
    "Imitator",
    "ImpressionSpace",
    "Intervention",
    "LayoutToImage",
    "LocalContrast",
    "MeansClusters",
    "Mixed",
    "MobileNetFeatures",
    "Padded",
    "PatchReorder",
    "PatchReorderCNN",
    "PseudoLabelTask",
    "RandomTransform2d",
    "SceneLayout",
    "SceneToImage",
    "SequenceEncoder",
    "SnapMix",
    "Stage",
    "StyleEncoder",
    "StyleKernel",
    "SymbolEmbedding",
    "Taught",
    "TensorTask",
    "TrackingByCounting",
    "align_faces",
    "anchor_clusters",
    "attack_ensemble",
    "batch_nuclear_norm",
    "boxes_to_layout",
    "content_loss",
    "decode",
    "density_loss",
    "density_radius",
    "draw_episode",
    "draw_strokes",
    "dynamic_conv2d",
    "embedding_spread",
    "encode",
    "fit_faces",
    "fuzzy_loss",
    "gaussian_rows",
    "group_kernels",
    "hard_triplet_loss",
    "instance_normalize",
    "jaccard_edges",
    "log_likelihood",
    "log_mel",
    "logit_margin",
    "masks_to_layout",
    "match_labels",
    "measure_faces",
    "meta_shift",
    "modularity",
    "mouth_centre",
    "mouth_crops",
    "multi_similarity_loss",
    "pad_symbols",
    "percent_of",
    "pgd",
    "pyramid_anchors",
    "read_clip",
    "removal_matrix",
    "render_density",
    "rerank",
    "scene_image_loss",
    "segment_iou",
    "semantic_percent",
    "smoothed_cross_entropy",
    "style_loss",
    "surround",
    "temporal_nms",
    "transform2d",
    "udor_loss",
    "visual_integrity",
    "wasserstein_distances",
]
