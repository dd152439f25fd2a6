"""The network: encoder, descriptors, affinity maps, decoders, and their assembly."""

from gmrd.nn.build import build_network
from gmrd.nn.network import GMRD, Descriptors, NetworkOutput, SupportDescriptors

__all__ = ["GMRD", "Descriptors", "NetworkOutput", "SupportDescriptors", "build_network"]
