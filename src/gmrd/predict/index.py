"""An HTML index of many scans: a table with thumbnails that can be sorted by any column.

Pictures are embedded and nothing is loaded from elsewhere, so it opens from disk; it links to the
scans' own pages beside it.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from gmrd.io.atomic import replacing
from gmrd.predict.triage import (
    Record,
    best_similarity,
    lowest_dice,
    next_to_annotate,
    worst_first,
)

THUMBNAIL = (240, 160)
"""Largest width and height of a thumbnail in pixels."""

TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Drafts</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem; }}
table {{ border-collapse: collapse; }}
td, th {{ padding: .3rem .8rem; text-align: left; border-bottom: 1px solid #ccc; }}
th {{ position: sticky; top: 0; background: #fff; }}
th button {{ font: inherit; font-weight: bold; border: 0; background: none; cursor: pointer; }}
td.number {{ text-align: right; }} tr.low {{ background: #fbe9dd; }}
img {{ display: block; max-width: {width}px; max-height: {height}px; }}
</style></head><body>
<h1>Drafts, those to check first at the top</h1>
<p>{advice}</p>
<p>{annotated}</p>
<table><thead><tr>{headings}</tr></thead><tbody id="rows">
{rows}
</tbody></table>
<p>Click a heading to sort by its column. The estimated Dice is a hint, not a
measurement. For research only; not a medical device.</p>
<script>
document.querySelectorAll("th button").forEach((button, column) => {{
  let up = false;
  button.onclick = () => {{
    up = !up;
    const rows = [...document.getElementById("rows").rows];
    const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
    const compare = (a, b) => key(a).localeCompare(key(b), undefined, {{numeric: true}});
    rows.sort((a, b) => up ? compare(a, b) : compare(b, a));
    document.getElementById("rows").append(...rows);
  }};
}});
</script></body></html>
"""


def write_index(path: Path, records: Sequence[Record], *, low: float = 0.6) -> None:
    """Write the table of a batch.

    Args:
        path: where to write, in the folder of the records' files.
        records: from the summary; only scans with a draft and failed scans get a row.
        low: rows with a lower estimated Dice are highlighted.
    """
    shown = worst_first([r for r in records if r["status"] in ("done", "failed")])
    annotated = [record["name"] for record in records if record["status"] == "annotated"]
    organs = list(dict.fromkeys(o for record in shown for o in record.get("volumes_ml", {})))
    titles = ["Picture", "Scan", "Lowest estimate / %"]
    titles += [f"{organ} / {unit}" for organ in organs for unit in ("ml", "est. %")]
    titles += ["Similarity / %", "Remarks"]
    text = TEMPLATE.format(
        advice=escape(advice(records)),
        annotated=escape(f"Annotated: {', '.join(annotated)}." if annotated else ""),
        headings="".join(f"<th><button>{escape(title)}</button></th>" for title in titles),
        rows="\n".join(_row(record, organs, path.parent, low) for record in shown),
        width=THUMBNAIL[0],
        height=THUMBNAIL[1],
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def advice(records: Iterable[Record]) -> str:
    """Which scan to annotate next, in a sentence."""
    chosen = next_to_annotate(list(records))
    if chosen is None:
        return "No scan was segmented."
    return (
        f"Annotate {chosen['name']} next: it is the least similar to the supports "
        f"({100 * best_similarity(chosen):.0f} % of its positions match consistently)."
    )


def _row(record: Record, organs: Sequence[str], folder: Path, low: float) -> str:
    done = record["status"] == "done"
    lowest = lowest_dice(record) if done else 0.0
    cells = [f"<td>{_thumbnail(record, folder)}</td>", f"<td>{_link(record)}</td>"]
    cells.append(_number(100 * lowest if done else None))
    for organ in organs:
        cells.append(_number(record.get("volumes_ml", {}).get(organ), digits=1))
        estimate = record.get("estimated_dice", {}).get(organ)
        cells.append(_number(None if estimate is None else 100 * estimate))
    cells.append(_number(100 * best_similarity(record) if done else None))
    remarks = [finding["text"] for finding in record.get("findings", [])]
    remarks = remarks or ([record["error"]] if "error" in record else [])
    cells.append(f"<td>{'<br>'.join(map(escape, remarks))}</td>")
    return f"<tr{' class=low' if lowest < low else ''}>{''.join(cells)}</tr>"


def _link(record: Record) -> str:
    name, page = escape(record["name"]), record.get("files", {}).get("page")
    return f'<a href="{quote(page)}">{name}</a>' if page else name


def _number(value: float | None, digits: int = 0) -> str:
    if value is None:
        return '<td class="number" data-key="-1">–</td>'
    return f'<td class="number" data-key="{value:.3f}">{value:.{digits}f}</td>'


def _thumbnail(record: Record, folder: Path) -> str:
    file = record.get("files", {}).get("picture")
    if not file or not (folder / file).is_file():
        return ""
    with Image.open(folder / file) as picture:
        small = picture.convert("RGB")
    small.thumbnail(THUMBNAIL)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{escape(record["name"])}" src="data:image/jpeg;base64,{data}">'
