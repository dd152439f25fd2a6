"""gmrd-project: annotate, predict and correct in a loop, with all files in one folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import Progress

from gmrd.cli.console import command
from gmrd.cli.predict import Steps, end_table, explained, listed, run, support_pairs
from gmrd.errors import InputError
from gmrd.io.formats import expanded

if TYPE_CHECKING:
    from gmrd.predict.project import Project, State

console = Console()


@command("project")
def main(cfg: DictConfig) -> None:
    """Console entry point; exit status 1 if a scan failed."""
    if cfg.out is not None:
        raise InputError(f"out={cfg.out}: a project keeps its drafts in {cfg.folder}/drafts")
    project = opened(cfg)
    if cfg.run:
        with Progress(*Progress.get_default_columns(), console=console, transient=True) as bar:
            steps = project.update(progress=Steps(bar), again=cfg.again, explain=explained)
            run(steps, bar)
    state = project.state()
    show(project, state)
    if cfg.run and any(record["status"] == "failed" for record in state.drafts):
        raise SystemExit(1)


def opened(cfg: DictConfig) -> Project:
    """Open or create the project, and apply the command's additions to it."""
    from gmrd.predict.project import Project
    from gmrd.predict.project_file import NAME, ProjectFile

    folder = expanded(str(cfg.folder))
    pairs = support_pairs(cfg.support)
    query = listed(cfg.query)
    begun = (folder / NAME).exists()
    if not begun and not (pairs and query):
        raise InputError(
            f"{folder} holds no project: to create one, add support.image=... support.label=... "
            "query=... to the command"
        )
    before = ProjectFile.read(folder).settings if begun else {}
    settings = changed(before, cfg, HydraConfig.get().overrides.task)
    if not begun:
        return Project.create(folder, pairs, query, **settings)
    project = Project(folder)
    if pairs or query or settings != before:
        project.add(pairs, query, **settings)
    return project


def changed(before: Any, cfg: DictConfig, given: Sequence[str]) -> dict[str, Any]:
    """A project's settings, updated with those given on the command line."""
    from gmrd.predict.settings import KEYS

    settings = OmegaConf.create(dict(before))
    for override in given:
        key = re.match(r"[+~]*([\w.]*)", override)[1]  # type: ignore[index]
        if key.split(".")[0] in KEYS:
            OmegaConf.update(settings, key, OmegaConf.select(cfg, key), merge=False)
    plain: Any = OmegaConf.to_container(settings, resolve=True)
    return dict(plain)


def show(project: Project, state: State) -> None:
    """Print a project's state and the scans to check first."""
    from gmrd.predict.index import advice

    def say(*words: object) -> None:
        console.out(*words, highlight=False)

    if state.drafts:
        console.print(end_table(state.drafts))
    say(
        f"{project.folder}: {len(state.scans)} scans, {len(state.annotated)} of them annotated, "
        f"{len(state.outdated)} to segment; {len(state.supports)} supports"
    )
    for name, file in state.annotated.items():
        say(f"annotated: {name} ({file.relative_to(project.folder)})")
    for note in state.notes:
        say(f"note: {note}")
    if state.drafts:
        say(advice(state.drafts))
    say("Drafts to correct, index.html, summary.json:", project.drafts.resolve())


if __name__ == "__main__":
    main()
