"""Many scans into one folder: failures, repetitions and what the summary says after each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gmrd
from gmrd.errors import InputError
from gmrd.io.scan import Scan
from gmrd.predict.batch import Batch, looks_like_labels, read_records
from gmrd.predict.inputs import find_queries
from gmrd.predict.outputs import write_outputs
from gmrd.predict.result import Segmentation
from helpers.scans import affine, ball, write


class Segmenter:
    """Thresholds a scan; counts what it does; fails on a scan called ``bad``."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, scan: Scan) -> Segmentation:
        self.seen.append(scan.name)
        if scan.name == "bad":
            raise RuntimeError("nothing to be done")
        labels = (scan.image > 170).astype(np.uint8)
        return Segmentation(
            scan, labels, {1: labels.astype(np.float32)}, {1: "ball"}, {"ball": 1.0}, (),
            {"ball": 0.5}, (0.7,), 0.1,
        )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scans = tmp_path / "scans"
    for seed, name in enumerate(("a/scan.nii.gz", "b/scan.nii.gz", "bad.nii.gz")):
        (scans / name).parent.mkdir(parents=True, exist_ok=True)
        write(scans / name, ball(seed)[0], affine())
    write(scans / "labels.nii.gz", ball(1)[1], affine())
    (scans / "torn.nii.gz").write_bytes((scans / "bad.nii.gz").read_bytes()[:500])
    return scans


def run(folder: Path, segmenter: Segmenter, key: str = "k", **settings: Any) -> list[Any]:
    out = folder / "out"
    batch = Batch(
        out=out,
        predictor=lambda: segmenter,
        write=lambda found: write_outputs(found, out, page=False),
        key=key,
        about={},
        **settings,
    )
    return list(batch.run(find_queries(folder, exclude=[out])))


def test_failures_do_not_end_it_and_label_maps_are_passed_over(folder: Path) -> None:
    steps = run(folder, Segmenter())
    found = {step.record["name"]: step.record["status"] for step in steps}
    assert found == {
        "bad": "failed",
        "labels": "passed_over",
        "torn": "failed",
        "a_scan": "done",
        "b_scan": "done",
    }
    errors = [step.record["error"] for step in steps if step.record["status"] == "failed"]
    assert errors[0] == "RuntimeError: nothing to be done"
    assert "torn.nii.gz is damaged" in errors[1]
    assert (folder / "out" / "a_scan_seg.nii.gz").is_file()
    assert (folder / "out" / "b_scan_seg.nii.gz").is_file()


def test_what_is_finished_is_not_done_again(folder: Path) -> None:
    first, second = Segmenter(), Segmenter()
    run(folder, first)
    assert first.seen == ["bad", "a_scan", "b_scan"]
    assert sum(step.kept for step in run(folder, second)) == 3
    assert second.seen == ["bad"]
    write(folder / "a" / "scan.nii.gz", ball(7)[0], affine())
    (folder / "out" / "b_scan_seg.nii.gz").unlink()
    third, fourth, fifth = Segmenter(), Segmenter(), Segmenter()
    run(folder, third)
    assert third.seen == ["bad", "a_scan", "b_scan"]
    run(folder, fourth, key="other supports")
    assert fourth.seen == ["bad", "a_scan", "b_scan"]
    run(folder, fifth, key="other supports", again=True)
    assert fifth.seen == ["bad", "a_scan", "b_scan"]


def test_the_summary_is_whole_after_every_scan(folder: Path) -> None:
    out = folder / "out"
    batch = Batch(
        out=out,
        predictor=lambda: Segmenter(),
        write=lambda found: write_outputs(found, out, page=False),
        key="k",
        about={"run": 1},
    )
    for number, step in enumerate(batch.run(find_queries(folder)), start=1):
        summary = json.loads((out / "summary.json").read_text())
        assert len(summary["scans"]) == number
        assert summary["scans"][-1] == step.record
    assert step.seconds_left == 0


def test_a_support_that_cannot_be_read_ends_it(folder: Path) -> None:
    def refused() -> Segmenter:
        raise InputError("the support is empty")

    batch = Batch(folder / "out", refused, lambda _: {}, "k", {})
    with pytest.raises(InputError, match="support is empty"):
        list(batch.run(find_queries(folder)))


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"scans": 3}', '{"scans": [{"source": []}]}',
                '{"scans": [{"source": "a", "name": "a", "files": 3}]}']
)  # fmt: skip
def test_a_damaged_summary_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "summary.json").write_text(content)
    with pytest.raises(InputError, match=r"summary\.json .*delete it"):
        read_records(tmp_path)


def test_label_maps_are_told_from_scans() -> None:
    image, label = ball(1)
    assert looks_like_labels(label.astype(np.float32) * 600)
    assert not looks_like_labels(image)
    assert not looks_like_labels(np.round(image))
    few_but_noisy = np.random.default_rng(0).integers(0, 5, (8, 40, 40)).astype(np.float32)
    assert not looks_like_labels(few_but_noisy)


def test_a_stored_support_is_the_encoded_one(
    support: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gmrd.predict.store import SupportStore

    store = SupportStore(tmp_path / "store")
    query = Scan("q", ball(2)[0], affine())
    plain = gmrd.Predictor([support])(query)
    gmrd.Predictor([support], store=store)
    assert store.size()[0] == 3
    assert store.folder.stat().st_mode & 0o777 == 0o700

    def forbidden(*_: object) -> None:
        raise AssertionError("encoded again")

    with monkeypatch.context() as patched:
        patched.setattr("gmrd.matching.scan.encode_slices", forbidden)
        again = gmrd.Predictor([support], store=store)
    assert np.array_equal(again(query).probabilities[1], plain.probabilities[1])
    other = (support[0], np.roll(ball(1)[1], 3, axis=1))
    gmrd.Predictor([other], store=store)
    assert store.size()[0] == 3 + 1 + 3  # and what the first found in the query


def test_the_store_is_bounded_repaired_and_cleared(
    support: tuple[Path, Path], tmp_path: Path
) -> None:
    from gmrd.predict.store import SupportStore

    store = SupportStore(tmp_path / "store")
    gmrd.Predictor([support], store=store)
    (coarse,) = store.folder.glob("*-coarse.pt")
    whole = coarse.stat().st_size
    coarse.write_bytes(b"torn")
    gmrd.Predictor([support], store=store)
    assert coarse.stat().st_size == whole
    small = SupportStore(store.folder, most_bytes=whole)
    gmrd.Predictor([(support[0], np.roll(ball(1)[1], 3, axis=1))], store=small)
    assert small.size()[1] <= whole
    own = store.folder / "trained.pt"
    own.write_bytes(b"somebody's checkpoint")
    store.clear()
    assert store.size() == (0, 0)
    assert own.exists()
