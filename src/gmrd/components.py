"""Parts that a configuration or a checkpoint names by their class: ``_target_`` and arguments.

A configuration is the user's own, so any class that it names is used. A checkpoint may come from
elsewhere: it holds plain data alone, and a class that it names outside gmrd is imported only
after :func:`allowing` or ``GMRD_ALLOW`` names its package.
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
"""Where classes that a checkpoint names are loaded from without being asked."""

_T = TypeVar("_T")


def name_of(cls: type) -> str:
    """The name by which a class is found again."""
    return f"{cls.__module__}.{cls.__qualname__}"


def build(key: str, settings: Mapping[str, Any], kind: type[_T], *args: Any, **known: Any) -> _T:
    """Make the part that ``settings`` name.

    Args:
        key: where the settings come from, for messages.
        settings: ``_target_`` and the arguments.
        kind: what it must be; anything else is refused before it is called.
        args: positional arguments that come first.
        known: further arguments that the settings do not hold.

    Raises:
        InputError: no such class, another kind of class, or one that refuses its arguments.
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
    """Import a class of a kind, or a function whose annotation says that it returns one.

    Raises:
        InputError: it cannot be imported, or is nothing of that kind.
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
    """Every class that plain data name, at any depth."""
    if isinstance(settings, Mapping):
        if TARGET in settings:
            yield str(settings[TARGET])
        for value in settings.values():
            yield from targets(value)
    elif isinstance(settings, (list, tuple)):
        for value in settings:
            yield from targets(value)


def is_trusted(name: str, *packages: str) -> bool:
    """Whether a class belongs to gmrd, to torch's optimisers, to torchmetrics or to packages."""
    return any(name.startswith(f"{package}.") for package in (*TRUSTED, *packages))


@contextmanager
def allowing(packages: Iterable[str]) -> Iterator[None]:
    """Let checkpoints name classes of further packages, here and in processes started meanwhile."""
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
    """Refuse plain data that name a class outside the packages that are allowed.

    Args:
        settings: mappings and lists of plain values; ``_target_`` may be at any depth.
        source: the file that they come from, for the message.

    Raises:
        InputError: with the class and the setting that would allow it.
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
