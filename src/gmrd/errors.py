"""The one exception for input that the user can mend."""

from __future__ import annotations


class InputError(ValueError):
    """A refused input: the message names the file or key, the value found and the remedy.

    The console commands print the message alone, without a traceback.
    """
