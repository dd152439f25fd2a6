"""A local web page: pick scans, see the overlay, download the label map.

Built on Gradio. It listens on this machine alone unless told otherwise, takes files up to a
limit, works on one request at a time and keeps its results in a folder that goes when it ends.
"""

from __future__ import annotations

import tempfile
from html import escape
from pathlib import Path
from typing import Any

from gmrd.errors import InputError
from gmrd.predict.options import Options
from gmrd.predict.outputs import write_outputs
from gmrd.predict.segmentation import Predictor

HEADING = """# gmrd
One annotated scan in, the organ out in another. Scans are NIfTI, NRRD or MHA files, or a zip with
one of these or a DICOM series. Several annotated scans need as many label maps; they are paired in
the order of their names. Nothing leaves this machine. For research only.
"""


def build_app(*, checkpoint: str | None, options: Options, results: Path) -> Any:
    """The page as a Gradio application; ``results`` takes a folder for every request."""
    gradio = _gradio()

    def segment(
        images: list[str] | None, labels: list[str] | None, query: str | None
    ) -> tuple[str, str]:
        try:
            pairs = pair_by_name(images or [], labels or [])
            return _segment(pairs, query, checkpoint, options, results)
        except InputError as error:
            raise gradio.Error(str(error), duration=None) from error

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
    *, checkpoint: str | None, options: Options, host: str, port: int, max_megabytes: int
) -> None:
    """Serve the page until interrupted."""
    with tempfile.TemporaryDirectory(prefix="gmrd-app-") as folder:
        app = build_app(checkpoint=checkpoint, options=options, results=Path(folder))
        app.queue(default_concurrency_limit=1, max_size=8)
        app.launch(
            server_name=host,
            server_port=port,
            share=False,
            max_file_size=max_megabytes * 1024 * 1024,
            allowed_paths=[folder],
            show_error=True,
        )


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
