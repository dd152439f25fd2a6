"""The console commands: each composes a configuration and calls the library."""

from omegaconf import OmegaConf

OmegaConf.register_new_resolver(
    "first", lambda *values: next((value for value in values if value), None), replace=True
)
"""``${first:${a},b}`` in a configuration: ``a`` if it is set, otherwise ``b``."""
