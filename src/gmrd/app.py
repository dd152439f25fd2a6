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
from gmrd.predict.outputs import write_outputs
from gmrd.predict.segmentation import Options, Predictor

HEADING = """# gmrd
One annotated scan in, the organ out in another. Scans are NIfTI, NRRD or MHA files, or a zip with
one of these or a DICOM series. Nothing leaves this machine. For research only.
"""


def build_app(*, checkpoint: str | None, options: Options, results: Path) -> Any:
    """The page as a Gradio application; ``results`` takes a folder for every request."""
    gradio = _gradio()

    def segment(image: str | None, label: str | None, query: str | None) -> tuple[str, str]:
        try:
            return _segment(image, label, query, checkpoint, options, results)
        except InputError as error:
            raise gradio.Error(str(error), duration=None) from error

    with gradio.Blocks(title="gmrd", analytics_enabled=False) as app:
        gradio.Markdown(HEADING)
        with gradio.Row():
            image = gradio.File(label="Annotated scan", elem_id="image", type="filepath")
            label = gradio.File(label="Its label map", elem_id="label", type="filepath")
            query = gradio.File(label="Scan to segment", elem_id="query", type="filepath")
        button = gradio.Button("Segment", variant="primary", elem_id="segment")
        download = gradio.File(label="Label map", elem_id="download", interactive=False)
        page = gradio.HTML(elem_id="result")
        button.click(segment, [image, label, query], [page, download])
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


def _segment(
    image: str | None,
    label: str | None,
    query: str | None,
    checkpoint: str | None,
    options: Options,
    results: Path,
) -> tuple[str, str]:
    """The result's page in a frame, and the label map's file."""
    if not (image and label and query):
        raise InputError("Three files are needed: an annotated scan, its label map and a scan")
    found = Predictor([(image, label)], checkpoint=checkpoint, options=options)(query)
    folder = Path(tempfile.mkdtemp(dir=results))
    files = write_outputs(found, folder)["files"]
    page = (folder / files["page"]).read_text(encoding="utf-8")
    # The page runs its own script and must not reach the application around it.
    frame = f'<iframe sandbox="allow-scripts" srcdoc="{escape(page)}" width="100%" height="1100">'
    return frame + "</iframe>", str(folder / files["labels"])


def _gradio() -> Any:
    try:
        import gradio
    except ImportError as error:
        raise InputError("the web page needs Gradio: pip install 'gmrd[app]'") from error
    return gradio
