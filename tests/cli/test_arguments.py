"""Paths on the command line mean what they look like."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st

from gmrd.cli.arguments import refuse_repeated_keys, with_quoted_paths
from gmrd.errors import InputError

PARSER = OverridesParser.create()


def read(*arguments: str) -> list[object]:
    """What Hydra makes of the values."""
    return [PARSER.parse_override(a).value() for a in with_quoted_paths(arguments)]


@pytest.mark.parametrize(
    "path",
    ["scan (1).nii", "a,b.nii", "[x] y.nii", "it's.nii", 'a"b.nii', "Schädel ü.nii", "a=b{c}.nii",
     "x\\", "a\\'b", "100", "true", "@a/%b&c;d:e#f"],
)  # fmt: skip
def test_a_path_arrives_as_it_was_written(path: str) -> None:
    keys = ("query", "data.root", "+data.joined.x.root", "model.network.pretrained")
    assert read(*(f"{key}={path}" for key in keys)) == [path] * len(keys)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="$~"), min_size=1))
@example("'a'b")
@example("\\'\\")
def test_any_path_without_quotes_around_it_arrives(path: str) -> None:
    listed = path.startswith("[") and path.endswith("]")
    in_quotes = len(path) > 1 and path[0] == path[-1] and path[0] in "'\""
    if not (listed or in_quotes or path.lower() == "null"):
        assert read(f"query={path}") == [path]


def test_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert read("query=~/x.nii", "support.image=[~/a.nii,b (2).nii]") == [
        "/home/me/x.nii",
        ["/home/me/a.nii", "b (2).nii"],
    ]


def test_lists_quotes_null_and_references_stay() -> None:
    given = ["query='a b'", "out=null", "root=${oc.env:HOME}", "query=", "fold=0,1", "names={1: a}"]
    assert with_quoted_paths(given) == given
    assert read("support.image=['a, b.nii',c.nii]") == [["a, b.nii", "c.nii"]]


def test_a_file_of_an_odd_name_that_exists_is_that_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("[a,b]").touch()
    Path("'q'").touch()
    assert read("query=[a,b]", "query='q'") == ["[a,b]", "'q'"]


def test_a_comma_separates_the_jobs_of_a_multirun() -> None:
    assert with_quoted_paths(["-m", "ckpt_path=a.ckpt,b (1).ckpt"])[1] == (
        "ckpt_path='a.ckpt','b (1).ckpt'"
    )
    assert with_quoted_paths(["-m", "ckpt_path=glob(*)"])[1] == "ckpt_path=glob(*)"


@pytest.mark.parametrize(
    "argument",
    ["names={1:liver,1:spleen}", "data.classes={1: a, 2: b, 1: c}", "+a={x:{y:1,z:2,y:3}}"],
)
def test_a_mapping_gives_every_key_once(argument: str) -> None:
    with pytest.raises(InputError, match=r"gives [1y] more than once"):
        refuse_repeated_keys(["x=1", argument])


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("names={1:liver,2:spleen}")
@example("a={x:{y:1},z:{y:1}}")
@example("query='{a:1,a:2}.nii'")
@example("{a:1,a:2}")
def test_nothing_else_is_refused_for_its_keys(argument: str) -> None:
    refuse_repeated_keys([argument])
