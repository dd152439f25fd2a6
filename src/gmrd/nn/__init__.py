"""The network: encoder, descriptors, affinity maps, and how they are put together."""

from gmrd.nn.network import (
    GMRD,
    Descriptors,
    NetworkOutput,
    SupportDescriptors,
    build_network,
)

__all__ = ["GMRD", "Descriptors", "NetworkOutput", "SupportDescriptors", "build_network"]
