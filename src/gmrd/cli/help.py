"""``--help``: a command's summary, examples, and every key with its comment, on one screen."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator

from gmrd.cli.keys import Key, Page, page_of

WIDTH = 100
MUST = "???"


def help_text(name: str, width: int | None = None) -> str:
    """The help text of ``gmrd-NAME`` for a terminal of ``width`` columns."""
    page = page_of(name)
    columns = min(WIDTH, width or shutil.get_terminal_size((WIDTH, 40)).columns)
    parts = [
        textwrap.fill(page.summary, columns, break_on_hyphens=False),
        "\n".join(f"  {example}" for example in page.examples),
        textwrap.fill(page.notes, columns, break_on_hyphens=False) if page.notes else "",
        "\n".join(_settings(page, columns)),
        "\n".join(_endings(name, page)),
    ]
    return "\n".join(part for part in parts if part)


def _settings(page: Page, columns: int) -> Iterator[str]:
    yield "Settings, key=value" + (" (* required):" if _musts(page) else ":")
    shown = [(_named(key), key.comment.split(". ")[0]) for key in page.keys]
    left = min(30, max(len(label) for label, _ in shown) + 2)
    for label, comment in shown:
        yield from _row(label, comment, left, columns)
    if page.groups:
        yield "Groups, each with a choice of files:"
    for group in page.groups:
        if "@" not in group.name:  # a group used a second time is listed as a key
            label = f"  {group.name}={group.default}"
            yield from _row(label, ", ".join(group.choices), left, columns)


def _named(key: Key) -> str:
    default = "" if key.default == MUST or len(key.default) > 12 else f"={key.default}"
    return ("* " if key.default == MUST else "  ") + key.name + default


def _musts(page: Page) -> bool:
    return any(key.default == MUST for key in page.keys)


def _row(label: str, text: str, left: int, columns: int) -> Iterator[str]:
    beside = textwrap.wrap(text, columns - left) or [""]
    if len(label) + 2 > left:  # too long to stand beside
        beside = textwrap.wrap(text, columns - len(label) - 2) or [""]
        yield f"{label}  {beside[0]}".rstrip()
    else:
        yield f"{label:<{left}}{beside[0]}".rstrip()
    yield from (" " * left + line for line in beside[1:])


def _endings(name: str, page: Page) -> Iterator[str]:
    if page.base:
        yield f"Also takes all settings of gmrd-{page.base}: see gmrd-{page.base} --help."
    yield f"The final configuration: gmrd-{name} --cfg job. Hydra's options: --hydra-help."
