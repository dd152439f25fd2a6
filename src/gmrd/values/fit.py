"""Converting a plain value to the type of an annotation, or refusing it.

Plain values are those of YAML: texts, numbers, true and false, null, lists and mappings. An
annotation may be any of Python's for these, a ``Literal``, a union, a dataclass, a mapping of
names to annotations, or ``Annotated`` with :mod:`gmrd.values.kinds`. Other classes (a tensor, a
callback) do not describe plain values, so lists and mappings are accepted for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from gmrd.errors import InputError

EXACT = 2**53
"""Below it, floats represent whole numbers exactly."""

LISTS = (list, Sequence, Iterable)
MAPPINGS = (dict, Mapping)


class _UnfitError(Exception):
    """A value of the wrong type; reported where its key is known."""


def fitted(key: str, value: Any, kind: Any) -> Any:
    """The value converted to the annotated type: tuples from lists, dataclasses from mappings.

    Args:
        key: dotted key of the value, for the message.
        value: plain data.
        kind: an annotation, see the module's docstring.

    Raises:
        InputError: the value does not fit; the message names the key, the value and what is
            allowed.
    """
    try:
        return _fit(key, value, kind)
    except _UnfitError:
        remedy = _remedy(key, value, kind)
        shown = "null" if value is None else value
        raise InputError(f"{key}={shown}: expected {expected(kind)}{remedy}") from None


def expected(kind: Any) -> str:
    """What an annotation allows, in words."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        text = expected(inner[0])
        for rule in inner[1:]:
            text = rule.describe(text) if hasattr(rule, "describe") else text
        return text
    if origin in (Union, UnionType):
        return _either([expected(member) for member in inner if _is_known(member)])
    if origin is Literal:
        names = [str(name) for name in inner]
        return f"one of {', '.join(names)}" if len(names) > 2 else " or ".join(names)
    if _is_leaf(kind):
        return _LEAVES[kind][0]
    if origin in LISTS:
        return "a list" + (f", each entry {expected(inner[0])}" if _is_known(inner[0]) else "")
    if origin is tuple:
        length = "" if inner[-1] is Ellipsis else f" of {len(inner)} entries"
        return f"a list{length}, each entry {expected(inner[0])}"
    return "a mapping"


def nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """The end of a message: the most similar name, or all of them."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    return f"did you mean {prefix}{near[0]}?" if near else f"there are {', '.join(names)}"


def below(key: str, name: object) -> str:
    """The dotted key of an entry."""
    return f"{key}.{name}" if key else str(name)


def _fit(key: str, value: Any, kind: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _annotated(key, value, inner[0], inner[1:])
    if origin in (Union, UnionType):
        return _member(key, value, inner)
    if origin is Literal:
        _need(any(type(value) is type(name) and value == name for name in inner))
        return value
    if _is_leaf(kind):
        _need(_LEAVES[kind][1](value))
        return float(value) if kind is float else value
    if isinstance(kind, Mapping):
        return _table(key, value, kind)
    if is_dataclass(kind) and isinstance(kind, type):
        return _record(key, value, kind)
    if origin in LISTS:
        return [fitted(f"{key}[{i}]", entry, inner[0]) for i, entry in enumerate(_list(value))]
    if origin is tuple:
        return _tuple(key, value, inner)
    if origin in MAPPINGS:
        return _mapping(key, value, *inner)
    return value


def _annotated(key: str, value: Any, base: Any, rules: Sequence[Any]) -> Any:
    for rule in rules:
        if hasattr(rule, "fitted"):
            return rule.fitted(key, value)
    found = _fit(key, value, base)
    _need(all(rule.allows(found) for rule in rules if hasattr(rule, "allows")))
    return found


def _member(key: str, value: Any, members: Sequence[Any]) -> Any:
    """The value as the first union member that it fits; errors about its parts are raised."""
    if not all(map(_is_known, members)) and not isinstance(value, _SCALARS):
        return value
    refused: list[InputError] = []
    for member in filter(_is_known, members):
        try:
            return _fit(key, value, member)
        except _UnfitError:
            pass
        except InputError as error:
            refused.append(error)
    if len(refused) == 1:
        raise refused[0]
    raise _UnfitError


def _table(key: str, value: Any, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping with known names only; those that may be null can be omitted."""
    _need(isinstance(value, Mapping))
    for name in value:
        if name not in kinds and not (key and str(name).startswith("_")):
            prefix = f"{key}." if key else ""
            raise InputError(
                f"{prefix}{name} is not a setting: {nearest(str(name), kinds, prefix)}"
            )
    for name, kind in kinds.items():
        if name not in value and NoneType not in get_args(kind):
            raise InputError(f"{below(key, name)} is missing: expected {expected(kind)}")
    return {
        str(name): fitted(below(key, name), entry, kinds[name])
        for name, entry in value.items()
        if name in kinds
    }


def _record(key: str, value: Any, kind: Any) -> Any:
    """A dataclass from a mapping of its fields; those with a default can be omitted."""
    if isinstance(value, kind):
        return value
    hints = get_type_hints(kind, include_extras=True)
    made = [field for field in fields(kind) if field.init]
    optional = {
        field.name
        for field in made
        if field.default is not MISSING or field.default_factory is not MISSING
    }
    kinds = {
        field.name: hints[field.name] | None if field.name in optional else hints[field.name]
        for field in made
    }
    found = _table(key, value, kinds)
    return kind(**{name: fitted(below(key, name), entry, hints[name])
                   for name, entry in found.items()})  # fmt: skip


def _list(value: Any) -> Sequence[Any]:
    _need(isinstance(value, (list, tuple)))
    return list(value)


def _tuple(key: str, value: Any, kinds: Sequence[Any]) -> tuple[Any, ...]:
    entries = _list(value)
    if kinds[-1] is Ellipsis:
        kinds = [kinds[0]] * len(entries)
    _need(len(entries) == len(kinds))
    pairs = zip(entries, kinds, strict=True)
    return tuple(fitted(f"{key}[{i}]", *pair) for i, pair in enumerate(pairs))


def _mapping(key: str, value: Any, of_name: Any, of_entry: Any) -> dict[Any, Any]:
    _need(isinstance(value, Mapping))
    return {
        fitted(f"{key}, name", name, of_name): fitted(below(key, name), entry, of_entry)
        for name, entry in value.items()
    }


def _need(fits: bool) -> None:
    if not fits:
        raise _UnfitError


def _is_known(kind: Any) -> bool:
    """Whether an annotation describes plain values."""
    origin = get_origin(kind)
    if origin is Annotated:
        return True
    return (
        _is_leaf(kind)
        or origin in (Literal, Union, UnionType, tuple, *LISTS, *MAPPINGS)
        or isinstance(kind, Mapping)
        or (is_dataclass(kind) and isinstance(kind, type))
    )


def _is_leaf(kind: Any) -> bool:
    return (kind is None or isinstance(kind, type)) and kind in _LEAVES


def _either(texts: Sequence[str]) -> str:
    known = list(dict.fromkeys(texts))
    if "a number" in known and "a whole number" in known:
        known.remove("a whole number")
    return " or ".join(known)


def _remedy(key: str, value: Any, kind: Any) -> str:
    """How to write a value that only has the wrong form."""
    members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    bare = [get_args(m)[0] if get_origin(m) is Annotated else m for m in members]
    if isinstance(value, _SCALARS) and any(get_origin(m) in (*LISTS, tuple) for m in bare):
        return f', such as "{key}=[{value}]"'
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT and int in bare:
        return f": write {key}={int(value)}"
    if isinstance(value, (bool, int, float)) and any(m in (str, Path) for m in bare):
        return f": quote it, \"{key}='{value}'\""
    return ""


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_LEAVES: Mapping[Any, tuple[str, Callable[[Any], bool]]] = {
    int: ("a whole number", _is_whole),
    float: ("a number", _is_number),
    str: ("text", _is_text),
    Path: ("a path", lambda value: isinstance(value, (str, Path))),
    bool: ("true or false", lambda value: isinstance(value, bool)),
    NoneType: ("null", lambda value: value is None),
    None: ("null", lambda value: value is None),
}

_SCALARS = (str, bool, int, float, NoneType)
