"""Changed files are refused or read as something sane, whatever was changed."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pydicom", reason="DICOM: install gmrd[dicom]")
pytest.importorskip("SimpleITK", reason="DICOM: install gmrd[dicom]")

from helpers.fuzz import targets

TARGETS = targets()

CHANGE = st.tuples(
    st.sampled_from(["replace", "insert", "delete", "cut"]),
    st.floats(0, 1),
    st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\0" * 8, b"\xff" * 8])),
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", TARGETS)
def test_a_whole_file_is_read(name: str) -> None:
    assert all(TARGETS[name](seed) for seed in TARGETS[name].seeds)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_a_changed_file_does_no_harm(name: str, data: st.DataObject) -> None:
    changed = bytearray(data.draw(st.sampled_from(TARGETS[name].seeds)))
    for what, share, content in data.draw(st.lists(CHANGE, min_size=1, max_size=4)):
        at = int(share * len(changed))
        end = {"replace": at + len(content), "insert": at, "delete": at + len(content)}
        changed[at : end.get(what, len(changed))] = b"" if what in ("delete", "cut") else content
    TARGETS[name](bytes(changed))
