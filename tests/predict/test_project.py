"""The loop in a folder: what becomes a support, what is kept, and what a kill leaves."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess as Process
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import gmrd
from gmrd.errors import InputError
from gmrd.predict.project import Project
from helpers.loop import Threshold, correct, new_project
from helpers.scans import affine, ball, read, write

FORK = multiprocessing.get_context("fork")
GIVEN = ("scan_0.nii.gz", "first.nii.gz")


@pytest.fixture
def threshold(monkeypatch: pytest.MonkeyPatch) -> Threshold:
    made = Threshold()
    made.replace_matching(monkeypatch)
    return made


def updated(project: Project) -> list[str]:
    """Names of the scans that an update segmented anew."""
    return [step.record["name"] for step in project.update() if not step.kept]


def test_drafts_are_made_once(tmp_path: Path, threshold: Threshold) -> None:
    project = new_project(tmp_path)
    assert project.state().outdated == ["scan_1", "scan_2", "scan_3"]
    assert updated(project) == ["scan_1", "scan_2", "scan_3"]
    assert threshold.supports == [GIVEN]
    state = project.state()
    assert not state.outdated
    assert [draft["name"] for draft in state.drafts] == ["scan_1", "scan_2", "scan_3"]
    assert state.next == "scan_1"
    assert updated(project) == []
    assert (project.drafts / "index.html").is_file()
    expected = read(tmp_path / "study/scans/scan_2.nii.gz")[0] > 170
    assert (project.labels("scan_2") == expected).all()


def test_a_corrected_draft_is_a_support_and_stays(tmp_path: Path, threshold: Threshold) -> None:
    project = new_project(tmp_path)
    list(project.update())
    draft = project.drafts / "scan_2_seg.nii.gz"
    corrected = correct(draft)
    assert project.state().outdated == ["scan_1", "scan_3"]
    assert updated(project) == ["scan_1", "scan_3"]
    assert threshold.supports == [GIVEN, ("scan_2.nii.gz", "scan_2_seg.nii.gz")]
    assert (read(draft)[0] == corrected).all()
    assert (project.labels("scan_2") == corrected).all()
    records = json.loads((project.drafts / "summary.json").read_text())["scans"]
    assert {r["name"]: r["status"] for r in records}["scan_2"] == "annotated"
    assert "Annotated: scan_2." in (project.drafts / "index.html").read_text()
    correct(project.drafts / "scan_2_seg.nii.gz")  # the same work again
    assert updated(project) == []
    draft.unlink()  # the work is taken back
    assert updated(project) == ["scan_1", "scan_2", "scan_3"]
    assert threshold.supports == [GIVEN]


def test_a_label_map_in_annotations_is_a_support(tmp_path: Path, threshold: Threshold) -> None:
    project = new_project(tmp_path)
    write(project.annotations / "scan_3_seg.nii.gz", ball(3)[1], affine())
    project.annotate("scan_1", ball(1)[1])
    assert updated(project) == ["scan_2"]
    assert threshold.supports == [
        GIVEN,
        ("scan_1.nii.gz", "scan_1.nii.gz"),
        ("scan_3.nii.gz", "scan_3_seg.nii.gz"),
    ]
    saved = nib.load(project.annotations / "scan_1.nii.gz")
    assert (saved.affine == affine()).all()
    project.annotate("scan_3", ball(4)[1])  # in place of the other file of that scan
    assert {f.name for f in project.annotations.iterdir()} == {"scan_1.nii.gz", "scan_3.nii.gz"}


def test_a_draft_corrected_during_an_update_is_kept(tmp_path: Path, threshold: Threshold) -> None:
    project = new_project(tmp_path)
    list(project.update())
    project.add(names={1: "bright"})
    steps = project.update()
    next(steps)
    corrected = correct(project.drafts / "scan_3_seg.nii.gz")
    assert [step.record["status"] for step in steps] == ["done", "annotated"]
    assert (read(project.drafts / "scan_3_seg.nii.gz")[0] == corrected).all()
    assert list(project.state().annotated) == ["scan_3"]


def test_an_incomplete_label_map_is_no_support(tmp_path: Path, threshold: Threshold) -> None:
    project = new_project(tmp_path)
    project.annotate("scan_1", np.zeros_like(ball(1)[1]))
    (note,) = project.state().notes
    assert "scan_1.nii.gz has no voxel of label 1" in note
    assert updated(project) == ["scan_2", "scan_3"]
    assert threshold.supports == [GIVEN]


def test_a_moved_project_goes_on(tmp_path: Path, threshold: Threshold) -> None:
    project = new_project(tmp_path)
    list(project.update())
    correct(project.drafts / "scan_2_seg.nii.gz")
    list(project.update())
    shutil.move(project.folder, tmp_path / "elsewhere")
    moved = Project(tmp_path / "elsewhere")
    assert updated(moved) == []
    assert list(moved.state().annotated) == ["scan_2"]
    assert str(tmp_path) not in (moved.folder / "project.yaml").read_text()


def test_new_scans_and_supports_join(tmp_path: Path, threshold: Threshold) -> None:
    project = new_project(tmp_path)
    list(project.update())
    write(tmp_path / "study" / "scans" / "scan_9.nii.gz", ball(9)[0], affine())
    other = write(tmp_path / "scan_1.nii.gz", ball(8)[0], affine())
    project.add(query=[other])
    assert updated(project) == ["scan_9", f"{tmp_path.name}_scan_1"]
    label = write(tmp_path / "label.nii.gz", ball(8)[1], affine())
    project.add(support=[(other, label)])
    assert updated(project) == ["scan_1", "scan_2", "scan_3", "scan_9"]
    assert threshold.supports == [GIVEN, ("scan_1.nii.gz", "label.nii.gz")]


def start(project: Project, threshold: Threshold) -> tuple[Process, Connection]:
    """An update in another process, which tells of each draft that it made."""
    threshold.seconds = 0.05
    ours, theirs = FORK.Pipe()

    def update() -> None:
        for step in project.update():
            if not step.kept:
                theirs.send(step.number)

    process = FORK.Process(target=update)
    process.start()
    return process, ours


def test_a_kill_loses_nothing_and_invents_no_annotation(
    tmp_path: Path, threshold: Threshold
) -> None:
    """Killed at many places; each time the next update goes on, and none counts as corrected."""
    project = new_project(tmp_path, n_scans=8)
    done = 0
    for pause in (0.0, 0.04, 0.08):
        process, told = start(project, threshold)
        told.recv()
        time.sleep(pause)
        process.kill()
        process.join()
        state = project.state()
        assert not state.annotated
        for draft in state.drafts:
            assert project.labels(draft["name"]) is not None
        assert 8 - len(state.outdated) > done
        done = 8 - len(state.outdated)
    assert len(updated(project)) == 8 - done
    assert not list(project.drafts.glob(".part-*"))


def test_two_updates_at_once_are_refused(tmp_path: Path, threshold: Threshold) -> None:
    project = new_project(tmp_path, n_scans=8)
    process, told = start(project, threshold)
    told.recv()
    for change in (lambda: list(project.update()), lambda: project.add(names={1: "x"})):
        with pytest.raises(InputError, match="study is being updated by another process"):
            change()
    process.join()
    assert process.exitcode == 0
    assert updated(project) == []


def test_what_is_wrong_is_named(tmp_path: Path, threshold: Threshold) -> None:
    project = new_project(tmp_path)
    scans = tmp_path / "study" / "scans"
    support = [(scans / "scan_0.nii.gz", tmp_path / "study" / "first.nii.gz")]
    with pytest.raises(InputError, match=r"project\.yaml already exists"):
        Project.create(project.folder, support, scans)
    with pytest.raises(InputError, match=r"absent\.nii\.gz does not exist"):
        project.add(query=["absent.nii.gz"])
    with pytest.raises(InputError, match=r"settings\.page=2: expected true or false"):
        project.add(page=2)
    with pytest.raises(InputError, match="format=dicom_seg: a project reads its corrected drafts"):
        project.add(format="dicom_seg")
    with pytest.raises(InputError, match="has no scan x: it has scan_1, scan_2"):
        project.annotate("x", ball(1)[1])
    with pytest.raises(InputError, match="the label has shape"):
        project.annotate("scan_1", ball(1)[1][1:])
    list(project.update())
    stray = write(project.annotations / "scan_7.nii.gz", ball(1)[1], affine())
    with pytest.raises(InputError, match=r"scan_7\.nii\.gz belongs to no scan.*scan_1, scan_2"):
        project.state()
    stray.rename(project.annotations / "scan_1.nii.gz")
    write(project.annotations / "scan_1_seg.nii.gz", ball(1)[1], affine())
    with pytest.raises(InputError, match=r"scan_1_seg\.nii\.gz and .* belong to the same scan"):
        project.state()
    shutil.rmtree(project.annotations)
    (project.drafts / "digests.txt").unlink()
    with pytest.raises(InputError, match=r"digests\.txt is missing"):
        project.state()
    (project.folder / "project.yaml").write_text("query: [scans]\n")
    with pytest.raises(InputError, match=r"project\.yaml is not a valid project.*it needs query"):
        gmrd.Project(project.folder)
    (project.folder / "project.yaml").write_text("")
    with pytest.raises(InputError, match=r"project\.yaml is not a valid project: it needs query"):
        gmrd.Project(project.folder)
    with pytest.raises(InputError, match=r"nowhere holds no project\.yaml"):
        gmrd.Project(tmp_path / "nowhere")
