"""Data sets: one door to PyG's, read in place, and those PyG lacks."""

from graphkit.data.scene_batch import KnockOut, SceneBatch
from graphkit.datasets.digits import DigitsGraph
from graphkit.datasets.folds import gin_folds
from graphkit.datasets.label_sequence import (
    LabelBatch,
    LabelSequence,
    LabelTask,
    masked_bce,
    random_parts,
)
from graphkit.datasets.media.face_landmarks import FaceLandmarks, face_landmarks
from graphkit.datasets.media.grid import GRIDClip, grid, grid_alignment
from graphkit.datasets.media.mnist import mnist
from graphkit.datasets.media.mobilenet_weights import mobilenet_weights
from graphkit.datasets.media.mot import MOTBoxes, mot_sequence
from graphkit.datasets.media.mot15 import mot15
from graphkit.datasets.media.omniglot import OmniglotImages, omniglot
from graphkit.datasets.media.reid import (
    ReIDImages,
    digits_reid,
    market1501,
    omniglot_reid,
)
from graphkit.datasets.media.thumos14 import ActionVideo, thumos14
from graphkit.datasets.meshes import read_off
from graphkit.datasets.modelnet_points import ModelNet10Points
from graphkit.datasets.ogbn_arxiv import OGBNArxiv
from graphkit.datasets.scenes.digit_scenes import DigitScenes
from graphkit.datasets.scenes.parser import format_scene, parse_scene
from graphkit.datasets.scenes.synthetic import SyntheticScenes
from graphkit.datasets.scenes.visual_genome import VisualGenomeGraphs
from graphkit.datasets.scenes.vocabulary import SceneVocabulary
from graphkit.datasets.scenes.vrd import VRDSceneGraphs
from graphkit.datasets.skeletons.base import SkeletonDataset
from graphkit.datasets.skeletons.clip_files import SkeletonFiles
from graphkit.datasets.skeletons.ntu.rgbd import NTURGBD
from graphkit.datasets.skeletons.nw_ucla import NWUCLA
from graphkit.datasets.skeletons.synthetic import SyntheticSkeletons
from graphkit.datasets.skeletons.utd_mhad import UTDMHAD
from graphkit.datasets.splits import class_split
from graphkit.datasets.store.errors import CacheError, MissingDataError
from graphkit.datasets.store.folders import cache_root, data_root
from graphkit.datasets.store.loading import load
from graphkit.datasets.store.registry import (
    DatasetCard,
    UnknownDatasetError,
    dataset_cards,
    find_card,
)
from graphkit.datasets.synthetic_factor_graphs import SyntheticFactorGraphs
from graphkit.datasets.task_sequence import StreamTask, TaskSequence
from graphkit.datasets.tox21 import Tox21
from graphkit.guard import DamagedDataError

__all__ = [
    "NTURGBD",
    "NWUCLA",
    "UTDMHAD",
    "ActionVideo",
    "CacheError",
    "DamagedDataError",
    "DatasetCard",
    "DigitScenes",
    "DigitsGraph",
    "FaceLandmarks",
    "GRIDClip",
    "KnockOut",
    "LabelBatch",
    "LabelSequence",
    "LabelTask",
    "MOTBoxes",
    "MissingDataError",
    "ModelNet10Points",
    "OGBNArxiv",
    "OmniglotImages",
    "ReIDImages",
    "SceneBatch",
    "SceneVocabulary",
    "SkeletonDataset",
    "SkeletonFiles",
    "StreamTask",
    "SyntheticFactorGraphs",
    "SyntheticScenes",
    "SyntheticSkeletons",
    "TaskSequence",
    "Tox21",
    "UnknownDatasetError",
    "VRDSceneGraphs",
    "VisualGenomeGraphs",
    "cache_root",
    "class_split",
    "data_root",
    "dataset_cards",
    "digits_reid",
    "face_landmarks",
    "find_card",
    "format_scene",
    "gin_folds",
    "grid",
    "grid_alignment",
    "load",
    "market1501",
    "masked_bce",
    "mnist",
    "mobilenet_weights",
    "mot15",
    "mot_sequence",
    "omniglot",
    "omniglot_reid",
    "parse_scene",
    "random_parts",
    "read_off",
    "thumos14",
]
