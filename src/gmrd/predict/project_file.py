"""``project.yaml``: a project's scans, the annotated scans it started from, and its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from gmrd.errors import InputError
from gmrd.io.atomic import replacing
from gmrd.io.formats import expanded
from gmrd.predict.inputs import source_of
from gmrd.predict.settings import Pair, Settings
from gmrd.values.fit import fitted

NAME = "project.yaml"
READABLE = ("nifti", "seg_nrrd")
"""Formats of label maps that can be read again."""
HEAD = """# A project of gmrd-project. Paths in this folder are relative to it.
# You may edit this file while no update is running; settings are those of gmrd-predict.
"""


@dataclass(frozen=True)
class ProjectFile:
    """The content of a project file.

    Attributes:
        folder: of the project.
        query: scans, and folders to search for scans.
        support: annotated scans with their label maps.
        settings: keys of gmrd-predict that differ from its defaults.
    """

    folder: Path
    query: tuple[Path, ...] = ()
    support: tuple[tuple[Path, Path], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> ProjectFile:
        """Read the project file in a folder.

        Raises:
            InputError: it is missing or damaged, or a setting is refused.
        """
        path = folder / NAME
        try:
            plain = yaml.safe_load(path.read_text(encoding="utf-8"))
            # An absolute path is not changed by joining it to a folder.
            query = tuple(folder / str(place) for place in plain["query"])
            support = tuple(
                (folder / str(pair["image"]), folder / str(pair["label"]))
                for pair in plain["support"]
            )
            settings = dict(plain.get("settings") or {})
        except FileNotFoundError as error:
            raise InputError(
                f"{folder} holds no {NAME}: create the project with support and query"
            ) from error
        except (OSError, UnicodeError, yaml.YAMLError, LookupError, TypeError, ValueError) as error:
            telling = isinstance(error, (OSError, UnicodeError, yaml.YAMLError))
            reason = f" ({' '.join(str(error).split())})" if telling else ""
            raise InputError(
                f"{path} is not a valid project{reason}: it needs query, a list of scans, and "
                "support, a list with image and label of each annotated scan"
            ) from error
        if not query or not support:
            raise InputError(f"{path} lists no {'support' if query else 'query'}: add it there")
        return cls(folder, query, support, settings)

    def write(self) -> None:
        """Write the file atomically."""
        plain = {
            "query": [source_of(place, self.folder) for place in self.query],
            "support": [
                {"image": source_of(image, self.folder), "label": source_of(label, self.folder)}
                for image, label in self.support
            ],
            "settings": dict(self.settings),
        }
        with replacing(self.folder / NAME) as temporary:
            text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
            temporary.write_text(HEAD + text, encoding="utf-8")

    def with_more(
        self,
        support: Sequence[Pair],
        query: Sequence[str | Path],
        settings: Mapping[str, Any],
    ) -> ProjectFile:
        """A copy with additional scans and changed settings.

        For a support that is already listed, the label map is replaced.

        Raises:
            InputError: a file does not exist, or a setting is refused.
        """
        pairs = {image: (image, _there(label)) for image, label in self.support}
        for image, label in support:
            pairs[_there(image)] = (_there(image), _there(label))
        places = dict.fromkeys([*self.query, *map(_there, query)])
        changed = {**self.settings, **settings}
        if settings.get("ckpt_path"):
            changed["ckpt_path"] = source_of(_there(settings["ckpt_path"]), self.folder)
        made = replace(self, query=tuple(places), support=tuple(pairs.values()), settings=changed)
        made.checked_settings()
        return made

    def checked_settings(self) -> Settings:
        """The settings, checked and converted.

        Raises:
            InputError: a setting is refused.
        """
        checkpoint = self.settings.get("ckpt_path")
        place = None if checkpoint is None else str(self.folder / checkpoint)
        plain = {**self.settings, "ckpt_path": place}
        made: Settings = fitted("settings", plain, Settings)
        if made.format not in READABLE:
            raise InputError(
                f"format={made.format}: a project reads its corrected drafts again: use "
                f"{' or '.join(READABLE)} here, and gmrd-predict for the final result"
            )
        return made


def _there(path: str | Path) -> Path:
    place = expanded(path)
    if not place.exists():
        raise InputError(f"{place} does not exist")
    return place.resolve()
