"""The one exception for input that its owner can mend, and the commonest reason for it."""

from __future__ import annotations


class InputError(ValueError):
    """A refused input: the message names the file or key, the value found and the remedy.

    The console commands print the message alone, without a traceback.
    """


def refuse_below_one(**values: int) -> None:
    """Refuse counts and sizes that must be 1 or more, by the names of their settings.

    Raises:
        InputError: one of them is less.
    """
    for name, value in values.items():
        if value < 1:
            raise InputError(f"{name}={value} is less than 1")
