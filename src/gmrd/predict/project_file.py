"""``project.yaml``: which scans a project has, which of them came annotated, and its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from gmrd.errors import InputError
from gmrd.io.atomic import replacing
from gmrd.predict.inputs import source_of
from gmrd.predict.settings import Pair, Settings
from gmrd.values.fit import fitted

NAME = "project.yaml"
MENDABLE = ("nifti", "seg_nrrd")
"""Formats that are read, too."""
HEAD = """# A project of gmrd-project. Paths of what lies in this folder are written from here.
# It may be edited while no update is going on; settings are those of gmrd-predict.
"""


@dataclass(frozen=True)
class ProjectFile:
    """What a project's file says.

    Attributes:
        folder: of the project.
        query: scans, and folders that are searched for scans.
        support: annotated scans with their label maps.
        settings: keys of gmrd-predict that differ from its defaults.
    """

    folder: Path
    query: tuple[Path, ...] = ()
    support: tuple[tuple[Path, Path], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> ProjectFile:
        """Read the file of a folder.

        Raises:
            InputError: it is missing or damaged, or a setting is refused.
        """
        path = folder / NAME
        try:
            plain = yaml.safe_load(path.read_text(encoding="utf-8"))
            # Joined to a folder, an absolute path stays as it is.
            query = tuple(folder / str(place) for place in plain["query"])
            support = tuple(
                (folder / str(pair["image"]), folder / str(pair["label"]))
                for pair in plain["support"]
            )
            settings = dict(plain.get("settings") or {})
        except FileNotFoundError as error:
            raise InputError(
                f"{folder} holds no {NAME}: begin the project with support and query"
            ) from error
        except (OSError, UnicodeError, yaml.YAMLError, LookupError, TypeError, ValueError) as error:
            raise InputError(
                f"{path} is no project ({' '.join(str(error).split())}): it needs query, a list of "
                "scans, and support, a list with image and label of each annotated scan"
            ) from error
        if not query or not support:
            raise InputError(f"{path} names no {'support' if query else 'query'}: add it there")
        return cls(folder, query, support, settings)

    def write(self) -> None:
        """Write the file; a reader sees the old or the new one."""
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
        """The same with further scans and other settings.

        A support that is given again has a new label map.

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
        """The settings of the right types.

        Raises:
            InputError: one is refused.
        """
        checkpoint = self.settings.get("ckpt_path")
        place = None if checkpoint is None else str(self.folder / checkpoint)
        plain = {**self.settings, "ckpt_path": place}
        made: Settings = fitted("settings", plain, Settings)
        if made.format not in MENDABLE:
            raise InputError(
                f"format={made.format}: drafts of a project are mended and read again: use "
                f"{' or '.join(MENDABLE)} here, and gmrd-predict for the last result"
            )
        return made


def _there(path: str | Path) -> Path:
    place = Path(path).expanduser()
    if not place.exists():
        raise InputError(f"{place} does not exist")
    return place.resolve()
