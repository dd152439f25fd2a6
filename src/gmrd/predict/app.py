"""A local web page: segment scans, correct a draft, and segment the rest again with it.

Built on Gradio. By default it listens on this machine only, limits the size of uploads and
handles one request at a time. Uploads and results are kept in a private folder for at most a day,
and deleted when the server stops.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import wraps
from html import escape
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from gmrd.errors import InputError
from gmrd.inference import choose_device
from gmrd.io.temporary import temporary_folder
from gmrd.predict.brush import SIDE
from gmrd.predict.desk import Desk
from gmrd.predict.options import Options
from gmrd.predict.project import Project
from gmrd.viz.pictures import colour_of

CORRECTING = """Choose an organ's colour and paint, or erase; changes to a slice are kept when you
choose another. Or upload a label map that you corrected elsewhere. The scan becomes an additional
support, and the others are segmented again."""

HEADING = """# gmrd
Segments organs in your scans as in an annotated one. Scans are NIfTI, NRRD or MHA files, or a zip
with one of these or a DICOM series. Each annotated scan needs a label map; they are paired in the
order of their file names. Nothing leaves this machine. For research only.
"""

KEPT_SECONDS = 24 * 3600
"""How long uploads and results are kept while the server runs."""

SESSIONS = 12
"""Pages whose drafts are kept in memory, each with its scan: more than are served or queued at
once. Gradio's default is 10,000."""

Explain = Callable[[Exception], str]


def build_app(
    *, checkpoint: str | None, options: Options, results: Path, explain: Explain = str
) -> Any:
    """The page as a Gradio application.

    Args:
        checkpoint: see :class:`Predictor`.
        options: see :class:`Predictor`.
        results: folder for a subfolder per request.
        explain: turns an error into a message.
    """
    gradio = _gradio()
    progress = gradio.Progress()  # Gradio shows it where it is an argument's default
    settings = {"ckpt_path": checkpoint, "options": asdict(options), "keep_support": False}

    def saying_why(task: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(task)
        def told(*arguments: Any) -> Any:
            try:
                return task(*arguments)
            except Exception as error:
                said = without_folders(explain(error), results.parent)
                raise gradio.Error(said, duration=None, print_exception=False) from error

        return told

    def segment(
        images: list[str] | None,
        labels: list[str] | None,
        queries: list[str] | None,
        bar: Any = progress,
    ) -> list[Any]:
        remove_old(results.parent)
        pairs = pair_by_name(images or [], labels or [])
        if not queries:
            raise InputError("no scans to segment: choose at least one")
        place = tempfile.mkdtemp(dir=results)
        return updated(Project.create(Path(place) / "project", pairs, queries, **settings), bar)

    def add(desk: Desk | None, editor: Any, file: str | None, bar: Any = progress) -> list[Any]:
        desk = with_draft(desk)
        if file is None:
            keep(desk, editor)
        desk.add_support(file)
        return updated(desk.project, bar)

    def updated(project: Project, bar: Any) -> list[Any]:
        for step in project.update(explain=explain):
            bar((step.number, step.total), desc=str(step.record["name"]))
        desk = Desk(project)
        table = gradio.HTML(without_folders(desk.table(), results.parent))
        scans = gradio.Dropdown(choices=desk.choices(), value=desk.name or None)
        return [desk, table, scans, None, *shown(desk)]

    def choose(desk: Desk | None, name: str) -> list[Any]:
        desk = with_draft(desk)
        desk.show(name)
        return shown(desk)

    def turn(desk: Desk | None, editor: Any, number: int) -> Any:
        desk = with_draft(desk)
        keep(desk, editor)
        desk.slice = number - 1
        return editable(desk)

    def keep(desk: Desk, editor: Any) -> None:
        if desk.paintable and editor is not None:
            desk.keep([np.asarray(layer) for layer in editor["layers"]])

    def shown(desk: Desk) -> list[Any]:
        if not desk.name:
            return ["", None, gradio.Slider(), None]
        page = desk.file("page").read_text(encoding="utf-8")
        # Sandboxed: the page's script must not reach the application around it.
        frame = (
            f'<iframe sandbox="allow-scripts" srcdoc="{escape(page)}" width="100%" height="900">'
        )
        slider = gradio.Slider(1, len(desk.labels), value=desk.slice + 1, step=1)
        return [f"{frame}</iframe>", str(desk.file("labels")), slider, editable(desk)]

    def editable(desk: Desk) -> Any:
        if not desk.paintable:
            return gradio.ImageEditor(None)
        grey, organs = desk.pictures()
        colours = [colour_of(value) for value in desk.names]
        brush = gradio.Brush(12, colors=colours, default_color=colours[0], color_mode="fixed")
        value = {"background": grey, "layers": [organs], "composite": None}
        return gradio.ImageEditor(value, brush=brush)

    with gradio.Blocks(title="gmrd", analytics_enabled=False) as app:
        gradio.Markdown(HEADING)
        with gradio.Row():
            images = gradio.File(label="Annotated scans", elem_id="image", file_count="multiple")
            labels = gradio.File(label="Their label maps", elem_id="label", file_count="multiple")
            queries = gradio.File(label="Scans to segment", elem_id="query", file_count="multiple")
        button = gradio.Button("Segment", variant="primary", elem_id="segment")
        desk = gradio.State()
        table = gradio.HTML(elem_id="table")
        scans = gradio.Dropdown(label="Drafts, those to check first at the top", elem_id="scan")
        download = gradio.File(label="Label map", elem_id="download", interactive=False)
        with gradio.Accordion("Correct this draft", open=False, elem_id="correct"):
            gradio.Markdown(CORRECTING)
            slider = gradio.Slider(1, 2, step=1, label="Slice", elem_id="turn")
            editor = gradio.ImageEditor(
                type="numpy",
                image_mode="RGBA",
                format="png",  # exact colours
                sources=(),
                transforms=(),
                layers=False,
                canvas_size=(SIDE, SIDE),
                elem_id="brush",
                show_label=False,
            )
            corrected = gradio.File(label="or a corrected label map", elem_id="corrected")
            more = gradio.Button("Add as support and update the rest", elem_id="add")
        page = gradio.HTML(elem_id="result")
        view = [page, download, slider, editor]
        everything = [desk, table, scans, corrected, *view]
        button.click(saying_why(segment), [images, labels, queries], everything)
        scans.input(saying_why(choose), [desk, scans], view)
        slider.release(saying_why(turn), [desk, editor, slider], editor)
        more.click(saying_why(add), [desk, editor, corrected], everything)
    return app


def serve(
    *,
    checkpoint: str | None,
    options: Options,
    host: str,
    port: int,
    max_megabytes: float,
    explain: Explain = str,
) -> None:
    """Serve the page until interrupted.

    Raises:
        InputError: it cannot listen at this host and port, or the checkpoint or device cannot be
            used.
    """
    refuse_taken(host, port)
    _refuse_unusable(checkpoint, options)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _interrupt)
    with temporary_folder() as folder:
        # Gradio's default upload folder is readable by all users and is never deleted.
        os.environ["GRADIO_TEMP_DIR"] = str(folder / "sent")
        results = folder / "results"
        results.mkdir()
        app = build_app(checkpoint=checkpoint, options=options, results=results, explain=explain)
        app.queue(default_concurrency_limit=1, max_size=8)
        with suppress(KeyboardInterrupt):
            app.launch(
                server_name=host,
                server_port=port,
                share=False,
                max_file_size=int(max_megabytes * 1024 * 1024),
                allowed_paths=[str(results)],
                show_error=True,
                state_session_capacity=SESSIONS,
            )
    os._exit(0)  # at once: a request in progress must not keep the server alive


def with_draft(desk: Desk | None) -> Desk:
    """The state of a visitor's page, which must display a draft.

    Raises:
        InputError: nothing was segmented, or the server has forgotten it.
    """
    if desk is None or not desk.name:
        raise InputError(
            "there is no draft on this page, or the server was restarted or served others since: "
            "segment the scans again"
        )
    return desk


def _refuse_unusable(checkpoint: str | None, options: Options) -> None:
    """Refuse what every request would refuse."""
    choose_device(options.device, key="options.device")
    if checkpoint is not None:
        from gmrd.checkpoint.load import load_module  # Lightning and MONAI take seconds

        load_module(checkpoint)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def refuse_taken(host: str, port: int) -> None:
    """Refuse a host or port that is not available.

    Raises:
        InputError: the host is not an address of this machine, or the port is in use.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise InputError(
            f"host={host} port={port} is not available ({error.strerror}): set another port, such "
            "as port=8000, or host=127.0.0.1"
        ) from error


def remove_old(folder: Path, *, seconds: float = KEPT_SECONDS) -> None:
    """Remove files and empty folders older than ``seconds``."""
    before = time.time() - seconds
    for path in sorted(folder.rglob("*"), reverse=True):
        try:
            if path.lstat().st_mtime >= before or path.parent == folder:
                continue
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError:  # a folder in use, or a file that another request removed
            continue


def pair_by_name(images: list[str], labels: list[str]) -> list[tuple[str, str]]:
    """Scans and label maps, paired in the order of their file names.

    Raises:
        InputError: there are none, or their numbers differ.
    """
    if not images or len(images) != len(labels):
        raise InputError(
            f"{len(images)} annotated scans and {len(labels)} label maps: give one label map for "
            "each annotated scan"
        )
    named = (sorted(files, key=lambda file: Path(file).name) for files in (images, labels))
    return list(zip(*named, strict=True))


def without_folders(text: str, folder: Path) -> str:
    """A message without the paths of uploads, which mean nothing to the visitor."""
    return re.sub(rf"{re.escape(str(folder))}/([^\s/:,]+/)*", "", text)


def _gradio() -> Any:
    try:
        import gradio
    except ImportError as error:
        raise InputError("the web page needs Gradio: pip install 'gmrd[app]'") from error
    return gradio
