"""``gmrd`` and ``gmrd info``: for a person and for a program."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest

import gmrd
from gmrd.cli.overview import main


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr("sys.argv", ["gmrd", *words])
    main()


def test_info_is_json(monkeypatch, capsys) -> None:
    run(monkeypatch, "info", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["version"] == version("gmrd") == gmrd.__version__
    assert "gmrd-predict" in found["commands"]
    assert "chaost2_s1" in found["experiments"]
    assert "chaost2" in found["data_sets"]
    assert found["encoders"]["lite0"] is True
    assert found["versions"]["torch"] == version("torch")
    assert found["versions"]["pybind11"] == version("pybind11")
    assert found["devices"][0].startswith("cpu")


def test_info_for_a_person_names_folders(monkeypatch, capsys) -> None:
    run(monkeypatch, "info")
    printed = capsys.readouterr().out
    assert "cache:" in printed
    assert "torch" in printed


def test_gmrd_alone_lists_the_commands(monkeypatch, capsys) -> None:
    run(monkeypatch)
    printed = capsys.readouterr().out
    assert "gmrd-predict: segment scans from" in printed
    assert len(printed.splitlines()) <= 40
    assert max(map(len, printed.splitlines())) <= 100


def test_an_unknown_word_is_refused(monkeypatch, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, "train")
    assert ended.value.code == 2
    assert "gmrd-train" in capsys.readouterr().err
