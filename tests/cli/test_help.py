"""``--help``: a screen, every setting explained, examples that compose, and the nearest key."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from gmrd.cli.help import help_text
from gmrd.cli.keys import command_names, page_of, read_page
from helpers.commands import RunHere

COMMANDS = command_names()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_screen(name: str) -> None:
    lines = help_text(name, width=100).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("name", COMMANDS)
def test_every_setting_is_explained(name: str) -> None:
    """The comment in ``conf/NAME.yaml``, beside a key or just above it."""
    assert [key.name for key in page_of(name).keys if not key.comment] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_two_examples_of_the_command(name: str) -> None:
    examples = page_of(name).examples
    assert len(examples) >= 2
    assert all(example.startswith(f"gmrd-{name}") for example in examples)


def test_keys_of_nested_sections_and_comments_above() -> None:
    text = (
        "# gmrd-x: does x.\n#   gmrd-x a=1\n# A note.\ndefaults:\n  - data: chaost2\n  - _self_\n"
        "\n# A heading.\n\na: 1  # beside\n# Above,\n# in two lines.\nb:\n  c: [1, 2]\n"
        "hydra:\n  run: x\n"
    )
    page = read_page(text)
    assert (page.summary, page.examples, page.notes) == (
        "gmrd-x: does x.",
        ("gmrd-x a=1",),
        "A note.",
    )
    assert [(k.name, k.default, k.comment) for k in page.keys] == [
        ("a", "1", "beside"),
        ("b.c", "[1, 2]", ""),
    ]
    assert page.groups[0].default == "chaost2"


def test_help_is_printed_without_hydra(run_here: RunHere, capsys) -> None:
    assert run_here("predict", "--help") == 0
    printed = capsys.readouterr().out
    assert "* query" in printed
    assert "gmrd-predict support.image=" in printed


@pytest.mark.parametrize(
    ("name", "argument", "parts"),
    [
        ("predict", "qurey=x", ("qurey is not a setting of gmrd-predict", "did you mean query?")),
        ("train", "max_steps=3", ("did you mean trainer.max_steps?",)),
        ("train", "modle=gmrd", ("did you mean model?",)),
        ("train", "data=chaos2", ("data=chaos2", "did you mean chaost2?", "sabs")),
        ("train", "name=a (b", ("name=a (b cannot be parsed", "with quotes")),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(
    run_here: RunHere, capsys, name: str, argument: str, parts: tuple[str, ...]
) -> None:
    assert run_here(name, argument) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("error:")
    assert [part for part in parts if part not in said] == []


@pytest.mark.parametrize(
    "name",
    [
        "convert",
        "crossval",
        "evaluate",
        "export",
        "inspect",
        "predict",
        "prepare",
        "project",
        "supervoxels",
        "train",
    ],
)
def test_what_is_not_set_is_said_before_anything_heavy_is_imported(name: str) -> None:
    program = (
        f"import sys; sys.argv = ['gmrd-{name}']\n"
        f"from gmrd.cli.{name} import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 2, ended.stderr
    assert re.search("(is|are) not set|no volumes given", ended.stderr)
    assert ended.stdout.strip() == "False"


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_lines_of_a_shell(name: str) -> None:
    for example in page_of(name).examples:
        words = shlex.split(example, comments=True)
        assert all(re.fullmatch(r"-m|[\w.@/]+=.*", word) for word in words[1:]), example


def test_the_cache_is_shown_without_importing_torch(tmp_path: Path) -> None:
    program = (
        "import sys; sys.argv = ['gmrd-cache']\n"
        "from gmrd.cli.cache import main; main()\n"
        "print('torch' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "GMRD_CACHE": str(tmp_path)},
    )  # fmt: skip
    assert ended.stdout.splitlines()[-1] == "False", ended.stderr
    assert ended.stdout.startswith(f"{tmp_path / 'supports'}: 0 files")
