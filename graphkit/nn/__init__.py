"""Drop-in layers and whole models."""

from graphkit.nn.conv import FactorConv, SPAGANConv
from graphkit.nn.factor_discriminator import FactorDiscriminator
from graphkit.nn.models import SPAGAN
from graphkit.nn.path_sampler import PathLoader, PathSampler

__all__ = ["SPAGAN", "FactorConv", "FactorDiscriminator", "PathLoader", "PathSampler", "SPAGANConv"]
