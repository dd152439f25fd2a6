"""The console commands: each composes a configuration and calls the library."""

from omegaconf import OmegaConf


def first(*values: object) -> object:
    """``${first:${a},b}`` in a configuration: ``a`` if it is set, otherwise ``b``.

    It names folders, so a list becomes a text: its key refuses it later, by its own name.
    """
    value = next((value for value in values if value), None)
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


OmegaConf.register_new_resolver("first", first, replace=True)
