"""Paths on the command line, quoted for Hydra.

In Hydra's grammar of ``key=value``, spaces, brackets, commas, quotes and ``~`` have a meaning. The
values of path keys are quoted before Hydra parses them, so that ``query=scan (1).nii`` and
``query=~/x.nii`` work as in any other program.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from antlr4 import CommonTokenStream, InputStream, ParseTreeWalker
from hydra.grammar.gen.OverrideLexer import OverrideLexer
from hydra.grammar.gen.OverrideParser import OverrideParser
from hydra.grammar.gen.OverrideParserListener import OverrideParserListener

from gmrd.errors import InputError

PATHS = {
    *(
        "folder",
        "query",
        "support.image",
        "support.label",
        "out",
        "root",
        "source",
        "ckpt_path",
        "images",
    ),
    *("overlays", "sheet", "collect", "image_pattern", "out_pattern", "cache_dir"),
    *("hydra.run.dir", "hydra.sweep.dir", "data.images", "data.labels", "data.pseudo_labels"),
    *("data.preparation.images", "data.preparation.labels"),
}
"""Keys that hold paths, besides those with one of :data:`ENDINGS`."""

ENDINGS = (".root", ".cache_dir", ".pretrained", ".dirpath", ".save_dir")
OVERRIDE = re.compile(r"(\+{0,2})([\w.@/]+)=(.+)", re.DOTALL)
SWEEP = re.compile(r"(choice|glob|sort|shuffle|range|interval)\(.*\)$", re.DOTALL)
PIECE = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^,]+""")


def with_quoted_paths(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command with the values of path keys quoted for Hydra.

    Lists stay lists (``[a.nii,b.nii]``), a comma in a multirun still separates jobs, and quoted
    values, ``null`` and ``${...}`` are left unchanged.
    """
    sweeping = "-m" in arguments or "--multirun" in arguments
    return [_quoted_argument(argument, sweeping) for argument in arguments]


def refuse_repeated_keys(arguments: Sequence[str]) -> None:
    """Refuse mappings such as ``names={1:liver,1:spleen}``, of which Hydra silently takes the last.

    Raises:
        InputError: a mapping has a key twice.
    """
    for argument in arguments:
        if "{" in argument:
            lexer = OverrideLexer(InputStream(argument))
            parser: Any = OverrideParser(CommonTokenStream(lexer))
            for part in (lexer, parser):  # what is no override is Hydra's to refuse
                part.removeErrorListeners()
            ParseTreeWalker().walk(_KeysOnce(argument), parser.override())


class _KeysOnce(OverrideParserListener):  # type: ignore[misc]
    """Listens to the mappings of an argument."""

    def __init__(self, argument: str) -> None:
        self.argument = argument

    def enterDictContainer(  # noqa: N802, the listener's name
        self, ctx: OverrideParser.DictContainerContext
    ) -> None:
        keys = [pair.dictKey().getText() for pair in ctx.dictKeyValuePair()]
        if repeated := sorted({key for key in keys if keys.count(key) > 1}):
            raise InputError(
                f"{self.argument} gives {', '.join(repeated)} more than once: give each key one "
                "value"
            )


def _quoted_argument(argument: str, sweeping: bool) -> str:
    found = OVERRIDE.fullmatch(argument)
    if found is None or not _holds_path(found[2]):
        return argument
    prefix, key, value = found.groups()
    return f"{prefix}{key}={_quoted_value(value, sweeping)}"


def _holds_path(key: str) -> bool:
    return key in PATHS or key.endswith(ENDINGS)


def _quoted_value(value: str, sweeping: bool) -> str:
    whole = os.path.exists(os.path.expanduser(value))
    if not whole and value.startswith("[") and value.endswith("]"):
        return f"[{','.join(_each(value[1:-1]))}]"
    if sweeping and SWEEP.match(value):
        return value
    if sweeping and not whole and "," in value:
        return ",".join(_each(value))
    return quoted(value)


def _each(values: str) -> Iterator[str]:
    return (quoted(piece.strip()) for piece in PIECE.findall(values) if piece.strip())


def quoted(path: str) -> str:
    """A path in quotes with ``~`` expanded; unchanged if quoted, ``null`` or an interpolation."""
    plain = path.lower() == "null" or "${" in path
    in_quotes = len(path) > 1 and path[0] == path[-1] and path[0] in "'\""
    if plain or (in_quotes and not os.path.exists(path)):
        return path
    expanded = os.path.expanduser(path)
    escaped = re.sub(r"(\\*)'", lambda found: found[1] * 2 + r"\'", expanded)
    escaped += "\\" * (len(escaped) - len(escaped.rstrip("\\")))  # before the closing quote
    return f"'{escaped}'"
