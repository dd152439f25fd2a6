"""A local web page: pick scans, see the overlay, download the label map.

Built on Gradio. It listens on this machine alone unless told otherwise, takes files up to a
limit and works on one request at a time. What was sent and found lies in a folder that only its
owner can read, for a day at most; it goes when the page ends.
"""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from html import escape
from pathlib import Path
from types import FrameType
from typing import Any

from gmrd.errors import InputError
from gmrd.io.temporary import temporary_folder
from gmrd.predict.options import Options
from gmrd.predict.outputs import write_outputs
from gmrd.predict.segmentation import Predictor

HEADING = """# gmrd
One annotated scan in, the organ out in another. Scans are NIfTI, NRRD or MHA files, or a zip with
one of these or a DICOM series. Several annotated scans need as many label maps; they are paired in
the order of their names. Nothing leaves this machine. For research only.
"""

KEPT_SECONDS = 24 * 3600
"""For so long what was sent and found is kept while the page runs."""

Explain = Callable[[Exception], str]


def build_app(
    *, checkpoint: str | None, options: Options, results: Path, explain: Explain = str
) -> Any:
    """The page as a Gradio application.

    Args:
        checkpoint: see :class:`Predictor`.
        options: the same.
        results: takes a folder for every request.
        explain: what is said of an error.
    """
    gradio = _gradio()

    def segment(
        images: list[str] | None, labels: list[str] | None, query: str | None
    ) -> tuple[str, str]:
        remove_old(results.parent)
        try:
            pairs = pair_by_name(images or [], labels or [])
            return _segment(pairs, query, checkpoint, options, results)
        except Exception as error:
            said = explain(error)
            for file in [*(images or []), *(labels or []), query or ""]:
                said = said.replace(file, Path(file).name) if file else said
            raise gradio.Error(said, duration=None, print_exception=False) from error

    with gradio.Blocks(title="gmrd", analytics_enabled=False) as app:
        gradio.Markdown(HEADING)
        with gradio.Row():
            images = gradio.File(label="Annotated scans", elem_id="image", file_count="multiple")
            labels = gradio.File(label="Their label maps", elem_id="label", file_count="multiple")
            query = gradio.File(label="Scan to segment", elem_id="query")
        button = gradio.Button("Segment", variant="primary", elem_id="segment")
        download = gradio.File(label="Label map", elem_id="download", interactive=False)
        page = gradio.HTML(elem_id="result")
        button.click(segment, [images, labels, query], [page, download])
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
        InputError: the page cannot listen there.
    """
    refuse_taken(host, port)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _interrupt)
    with temporary_folder() as folder:
        # Gradio's own folder for what is sent is readable by all, and stays.
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
            )
    os._exit(0)  # at once: a request that is being worked on must not keep the page alive


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def refuse_taken(host: str, port: int) -> None:
    """Refuse a place where nothing can listen.

    Raises:
        InputError: the host is none of this machine's, or the port is taken.
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
            f"host={host} port={port} cannot be listened at ({error.strerror}): set another port, "
            "such as port=8000, or host=127.0.0.1"
        ) from error


def remove_old(folder: Path, *, seconds: float = KEPT_SECONDS) -> None:
    """Remove files and empty folders that were not changed for so many seconds."""
    before = time.time() - seconds
    for path in sorted(folder.rglob("*"), reverse=True):
        try:
            if path.lstat().st_mtime >= before or path.parent == folder:
                continue
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError:  # a folder in use, or a file that another request removed
            continue


def pair_by_name(images: list[str], labels: list[str]) -> list[tuple[str, str]]:
    """Scans and label maps in the order of their file names, the first with the first.

    Raises:
        InputError: there are none, or not as many of the one as of the other.
    """
    if not images or len(images) != len(labels):
        raise InputError(
            f"{len(images)} annotated scans and {len(labels)} label maps: every annotated scan "
            "needs its own label map"
        )
    named = (sorted(files, key=lambda file: Path(file).name) for files in (images, labels))
    return list(zip(*named, strict=True))


def _segment(
    pairs: list[tuple[str, str]],
    query: str | None,
    checkpoint: str | None,
    options: Options,
    results: Path,
) -> tuple[str, str]:
    """The pairs and the result's page in a frame, and the label map's file."""
    if not query:
        raise InputError("A scan to segment is needed")
    found = Predictor(pairs, checkpoint=checkpoint, options=options)(query)
    folder = Path(tempfile.mkdtemp(dir=results))
    files = write_outputs(found, folder)["files"]
    page = (folder / files["page"]).read_text(encoding="utf-8")
    paired = ", ".join(f"{Path(image).name} with {Path(label).name}" for image, label in pairs)
    # The page runs its own script and must not reach the application around it.
    frame = f'<iframe sandbox="allow-scripts" srcdoc="{escape(page)}" width="100%" height="1100">'
    return f"<p>Annotated: {escape(paired)}</p>{frame}</iframe>", str(folder / files["labels"])


def _gradio() -> Any:
    try:
        import gradio
    except ImportError as error:
        raise InputError("the web page needs Gradio: pip install 'gmrd[app]'") from error
    return gradio
