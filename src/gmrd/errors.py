"""The exception for input that the user can correct."""

from __future__ import annotations


class InputError(ValueError):
    """Invalid input; the message names the file or key, the value and the remedy.

    The console commands print the message alone, without a traceback.
    """


class UnwritableError(InputError):
    """A file or folder that cannot be written; the message gives the reason and a remedy."""
