"""Checking the arguments of a class or function against its signature before calling it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, get_type_hints

from gmrd.errors import InputError
from gmrd.values.fit import below, fitted, nearest

TARGET = "_target_"
"""Hydra's key that names a class."""


@dataclass(frozen=True)
class Part:
    """In ``Annotated``: settings that name a class, with arguments of that class.

    Attributes:
        default: the class if the settings name none.
        limits: stricter types for arguments whose annotations are too permissive.
    """

    default: str | None = None
    limits: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def fitted(self, key: str, value: Any) -> Any:
        """The settings, unchanged.

        Raises:
            InputError: no class is named, or its signature does not accept an argument.
        """
        if not isinstance(value, Mapping):
            raise InputError(f"{key}={value}: expected {self.describe('')}")
        name = value.get(TARGET, self.default)
        if name is None:
            raise InputError(
                f"{key} does not name a class: add {key}.{TARGET}=package.module.Class"
            )
        refuse_wrong_arguments(key, imported(key, str(name)), value)
        for argument in self.limits.keys() & value.keys():
            fitted(below(key, argument), value[argument], self.limits[argument])
        return value

    def describe(self, what: str) -> str:
        """What is expected."""
        return f"a mapping with {TARGET} and arguments"


def imported(key: str, name: str) -> Any:
    """The object with a dotted name.

    Raises:
        InputError: it cannot be imported.
    """
    module_name, _, attribute = name.rpartition(".")
    try:
        return getattr(import_module(module_name), attribute)
    except (ImportError, ValueError, AttributeError) as error:
        raise InputError(
            f"{key}.{TARGET}={name} cannot be imported ({error}): correct the name, install its "
            "package, or add the folder of its file to PYTHONPATH"
        ) from error


def refuse_wrong_arguments(key: str, target: Any, given: Mapping[str, Any]) -> None:
    """Refuse arguments that a signature lacks, or values that its annotations exclude.

    Names with a leading underscore are Hydra's. Arguments without an annotation are not checked.

    Raises:
        InputError: with the argument's key, its value and what is allowed.
    """
    parameters = _parameters(target)
    if parameters is None:
        return
    kinds = _kinds(target)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name, value in given.items():
        if name.startswith("_") or (open_ended and name not in parameters):
            continue
        if name not in parameters:
            known = [known for known in parameters if not known.startswith("_")]
            raise InputError(
                f"{below(key, name)} is not a setting of {target.__name__}: "
                f"{nearest(name, known, f'{key}.')}"
            )
        default = parameters[name].default
        if not (type(value) is type(default) and value == default):
            _refuse(below(key, name), value, kinds.get(name, Any))


def refuse_wrong_fields(key: str, record: Any) -> None:
    """Refuse a dataclass with a value that the annotation of its field excludes.

    Raises:
        InputError: with the field's key, its value and what is allowed.
    """
    refuse_wrong_arguments(key, type(record), vars(record))


def _refuse(key: str, value: Any, kind: Any) -> None:
    """Refuse a value of another type, also checking components within it."""
    if isinstance(value, Mapping) and TARGET in value:
        Part().fitted(key, value)
        return
    for place, entry in enumerate(value) if isinstance(value, (list, tuple)) else ():
        if isinstance(entry, Mapping) and TARGET in entry:
            Part().fitted(f"{key}[{place}]", entry)
    fitted(key, value, kind)


def _parameters(target: Any) -> Mapping[str, inspect.Parameter] | None:
    try:
        return inspect.signature(target).parameters
    except (TypeError, ValueError):  # compiled
        return None


def _kinds(target: Any) -> dict[str, Any]:
    function = inspect.getattr_static(target, "__init__") if isinstance(target, type) else target
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):  # a name that only type checkers import
        return {}
