"""Components that a configuration or a checkpoint names by class: ``_target_`` and arguments.

A configuration is the user's own, so any class in it is used. A checkpoint may come from others:
it only contains plain data, and a class outside gmrd is imported only if its package is named by
:func:`allowing` or ``GMRD_ALLOW``.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, get_type_hints

from gmrd.errors import InputError
from gmrd.values.arguments import TARGET, imported, refuse_wrong_arguments

VARIABLE = "GMRD_ALLOW"
"""Environment variable: packages whose classes a checkpoint may name, separated by commas."""

TRUSTED = ("gmrd", "torch.optim", "torchmetrics")
"""Packages whose classes a checkpoint may always name."""

_T = TypeVar("_T")


def name_of(cls: type) -> str:
    """The dotted name of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def build(key: str, settings: Mapping[str, Any], kind: type[_T], *args: Any, **known: Any) -> _T:
    """Construct the component described by ``settings``.

    Args:
        key: the settings' key, for messages.
        settings: ``_target_`` and the arguments.
        kind: required class; anything else is refused before it is called.
        args: positional arguments that come first.
        known: further arguments that are not in the settings.

    Raises:
        InputError: the class does not exist, is not of this kind, or refuses its arguments.
    """
    if TARGET not in settings:
        raise InputError(f"{key} does not name a class: add {key}._target_=package.module.Class")
    target = locate(key, str(settings[TARGET]), kind)
    arguments = {str(name): value for name, value in settings.items() if name != TARGET}
    refuse_wrong_arguments(key, target, arguments)
    try:
        made: _T = target(*args, **known, **arguments)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{name}={value}" for name, value in arguments.items())
        raise InputError(
            f"the settings of {key} do not work: {target.__name__}({given}): {error}"
        ) from error
    return made


def locate(key: str, name: str, kind: type) -> Any:
    """Import a class of a kind, or a function annotated to return one.

    Raises:
        InputError: it cannot be imported, or is not of that kind.
    """
    found = imported(key, name)
    made = found if isinstance(found, type) else _returned(found)
    if not (isinstance(made, type) and issubclass(made, kind)):
        raise InputError(
            f"{key}._target_={name} is neither a {kind.__name__} nor a function annotated to "
            "return one"
        )
    return found


def _returned(function: Any) -> Any:
    return get_type_hints(function).get("return") if inspect.isfunction(function) else None


def targets(settings: Any) -> Iterator[str]:
    """All classes named in plain data, at any depth."""
    if isinstance(settings, Mapping):
        if TARGET in settings:
            yield str(settings[TARGET])
        for value in settings.values():
            yield from targets(value)
    elif isinstance(settings, (list, tuple)):
        for value in settings:
            yield from targets(value)


def is_trusted(name: str, *packages: str) -> bool:
    """Whether a class belongs to gmrd, ``torch.optim``, torchmetrics or one of ``packages``."""
    return any(name.startswith(f"{package}.") for package in (*TRUSTED, *packages))


@contextmanager
def allowing(packages: Iterable[str]) -> Iterator[None]:
    """Let checkpoints name classes of other packages, also in child processes."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = ",".join(dict.fromkeys([*_allowed(), *packages]))
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def refuse_foreign(settings: Any, source: object) -> None:
    """Refuse plain data that names a class outside the allowed packages.

    Args:
        settings: mappings and lists of plain values; ``_target_`` may be at any depth.
        source: their file, for the message.

    Raises:
        InputError: with the class and the setting that allows it.
    """
    for name in targets(settings):
        if not is_trusted(name, *_allowed()):
            package = name.split(".")[0]
            raise InputError(
                f"{source} names {name}, which is not part of gmrd: loading it runs the code of "
                f"{package}. If you trust the checkpoint, add allow=[{package}] or set "
                f"{VARIABLE}={package}"
            )


def _allowed() -> list[str]:
    return [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]
