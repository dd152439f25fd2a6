"""An HTML page of one scan: slices with a slider, volumes, and reasons to doubt the result.

The file is self-contained, so it can be mailed and opened anywhere.
"""

from __future__ import annotations

import base64
import io
import json
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from gmrd.io.atomic import replacing
from gmrd.predict.intensity import shown_range
from gmrd.predict.result import Segmentation
from gmrd.viz.pictures import colour_of

LARGEST_SIDE = 320
"""In pixels; larger slices are downsampled, on the page only."""
SCREEN_SIDE = 512
"""Longer side of a slice on the screen, in pixels."""

TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; }}
#view {{ position: relative; width: {width}px; height: {height}px; background: #000; }}
#view img {{ position: absolute; inset: 0; width: 100%; height: 100%; }}
label {{ display: block; margin: .5rem 0; }} input[type=range] {{ width: {width}px; }}
td, th {{ padding: .2rem 1rem .2rem 0; text-align: left; }}
.swatch {{ display: inline-block; width: .8em; height: .8em; margin-right: .5em; }}
.note {{ border-left: .3rem solid #D55E00; padding-left: .8rem; margin: .5rem 0; }}
</style></head><body>
<h1>{title}</h1>
{notes}
<div id="view"><img id="image" alt="slice"><img id="overlay" alt="found organs"></div>
<label>Slice <output id="number"></output><br>
<input id="slice" type="range" min="0" max="{last}" value="{first}"></label>
<label>Overlay<br><input id="opacity" type="range" min="0" max="100" value="40"></label>
<table><tr><th>Organ</th><th>Label</th><th>Volume / ml</th>
<th>Estimated Dice / %</th></tr>{rows}</table>
<p>Slices are seen from below, with the patient's right on the left. The estimated Dice is a hint,
not a measurement: check what is below 60 % first.
For research only; not a medical device.</p>
<script>
const slices = {slices};
const at = (id) => document.getElementById(id);
function show() {{
  const z = Number(at("slice").value);
  at("image").src = "data:image/jpeg;base64," + slices[z][0];
  at("overlay").src = "data:image/png;base64," + slices[z][1];
  at("overlay").style.opacity = at("opacity").value / 100;
  at("number").textContent = (z + 1) + " of " + slices.length;
}}
at("slice").oninput = show; at("opacity").oninput = show; show();
</script></body></html>
"""


def write_page(path: Path, found: Segmentation) -> None:
    """Write the page of one scan."""
    full, labels, spacing = found.upright()
    step = max(1, -(-max(full.shape[1:]) // LARGEST_SIDE))
    image, labels = full[:, ::step, ::step], labels[:, ::step, ::step]
    low, high = shown_range(image)
    slices = [
        [_jpeg((seen - low) / (high - low)), _overlay(found_there, list(found.names))]
        for seen, found_there in zip(image, labels, strict=True)
    ]
    width, height = _extent(full.shape, spacing)
    text = TEMPLATE.format(
        title=escape(found.scan.name),
        notes="".join(f'<p class="note">{escape(f.text)}</p>' for f in found.findings),
        rows="".join(_row(found, value, name) for value, name in found.names.items()),
        slices=json.dumps(slices),
        first=int(np.argmax((labels > 0).sum(axis=(1, 2)))),
        last=len(slices) - 1,
        width=width,
        height=height,
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _extent(shape: tuple[int, ...], spacing: tuple[float, float, float]) -> tuple[int, int]:
    """Width and height on the screen, in the slices' physical proportions."""
    height, width = shape[1] * spacing[1], shape[2] * spacing[2]
    scale = SCREEN_SIDE / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _row(found: Segmentation, value: int, name: str) -> str:
    quality = found.quality[name]
    return (
        f'<tr><td><span class="swatch" style="background:{colour_of(value)}"></span>{escape(name)}'
        f"</td><td>{value}</td><td>{found.volumes_ml[name]:.1f}</td>"
        f"<td>{'–' if np.isnan(quality) else f'{100 * quality:.0f}'}</td></tr>"
    )


def _jpeg(brightness: np.ndarray) -> str:
    """A slice whose shown range is 0 to 1."""
    grey = np.clip(brightness * 255, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(grey)).save(buffer, "JPEG", quality=85)
    return base64.b64encode(buffer.getvalue()).decode()


def _overlay(labels: np.ndarray, values: list[int]) -> str:
    """A palette PNG: entry 0 is transparent, entry i is the colour of the i-th organ."""
    indices = np.zeros(labels.shape, dtype=np.uint8)
    palette = [0, 0, 0]
    for number, value in enumerate(values, start=1):
        indices[labels == value] = number
        palette += [round(255 * c) for c in to_rgb(colour_of(value))]
    picture = Image.fromarray(indices)  # greyscale; a palette makes it mode P
    picture.putpalette(palette)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=0, optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
