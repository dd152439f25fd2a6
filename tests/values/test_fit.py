"""Plain values against annotations: fitted, or refused with the key, the value and what is due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
import torch

from gmrd.errors import InputError
from gmrd.values.arguments import Part, refuse_wrong_arguments, refuse_wrong_fields
from gmrd.values.fit import fitted
from gmrd.values.kinds import Count, NonNegative, Orientation, Positive, Share, Workers


@dataclass(frozen=True)
class Pair:
    first: Count
    second: float = 0.5


@pytest.mark.parametrize(
    ("value", "kind", "found"),
    [
        (3, int, 3),
        (3, float, 3.0),
        (None, int | None, None),
        ("a", Literal["a", "b"], "a"),
        ([1, 2], tuple[float, float], (1.0, 2.0)),
        ([[1], []], Sequence[Sequence[int]], [[1], []]),
        ({1: "liver"}, Mapping[int, str], {1: "liver"}),
        ({"first": 1}, Pair, Pair(1)),
        (0.5, float | torch.Tensor, 0.5),
        ([0.9, 0.99], tuple[float | torch.Tensor, float | torch.Tensor], (0.9, 0.99)),
        ({"any": "thing"}, torch.Tensor, {"any": "thing"}),
    ],
)
def test_what_fits_is_taken(value: Any, kind: Any, found: Any) -> None:
    assert fitted("k", value, kind) == found


@pytest.mark.parametrize(
    ("value", "kind", "sentence"),
    [
        ("x", int, "k=x: expected a whole number"),
        (True, int, "k=True: expected a whole number"),
        (1.5, Count, "k=1.5: expected a whole number, 1 or more"),
        (1000.0, Count, "k=1000.0: expected a whole number, 1 or more: write k=1000"),
        (1e3, int | None, "k=1000.0: expected a whole number or null: write k=1000"),
        (0, Count, "k=0: expected a whole number, 1 or more"),
        (0, Workers, "k=0: expected a whole number other than 0 (-1: all cores)"),
        (float("nan"), Share, "k=nan: expected a number from 0 to 1"),
        (float("inf"), NonNegative, "k=inf: expected a number, 0 or more"),
        (float("inf"), float, "k=inf: expected a number"),
        (0, Positive, "k=0: expected a number above 0"),
        (1, bool, "k=1: expected true or false"),
        (None, int, "k=null: expected a whole number"),
        ("c", Literal["a", "b"], "k=c: expected a or b"),
        (1.0, Literal[1, 2, 3], "k=1.0: expected one of 1, 2, 3"),
        (5, Sequence[int], 'k=5: expected a list, each entry a whole number, such as "k=[5]"'),
        ([1, "x"], Sequence[int] | None, "k[1]=x: expected a whole number"),
        ([1], tuple[float, float], "k=[1]: expected a list of 2 entries, each entry a number"),
        (2024, str, "k=2024: expected text: quote it, \"k='2024'\""),
        ("LAX", Orientation, "k=LAX: expected three axis codes such as LAS"),
        ({"x": "liver"}, Mapping[int, str] | None, "k, name=x: expected a whole number"),
        ({1: 2}, Mapping[int, str], "k.1=2: expected text"),
        ({"first": 0}, Pair, "k.first=0: expected a whole number, 1 or more"),
        ({"frist": 1}, Pair, "k.frist is not a setting: did you mean k.first?"),
        ({}, Pair | None, "k.first is missing: expected a whole number, 1 or more"),
        ("abc", float | torch.Tensor, "k=abc: expected a number"),
        ("x", int | float | None, "k=x: expected a number or null"),
    ],
)
def test_what_does_not_fit_is_refused(value: Any, kind: Any, sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        fitted("k", value, kind)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("torch.optim.SGD", {"lr": "fast"}, "k.lr=fast: expected a number"),
        ("torch.optim.SGD", {"momentun": 0.9}, "k.momentun is not a setting of SGD: did you"),
        ("torch.optim.Adam", {"betas": [0.9, "x"]}, "k.betas[1]=x: expected a number"),
        ("pytorch_lightning.Trainer", {"precision": "bf15"}, "k.precision=bf15: expected one of"),
        ("pytorch_lightning.Trainer", {"max_steps": 3.5}, "k.max_steps=3.5: expected a whole"),
        (
            "pytorch_lightning.Trainer",
            {"strategy": {"_target_": "pytorch_lightning.strategies.DDPStrategy",
                          "process_group_backend": 3}},
            "k.strategy.process_group_backend=3: expected text",
        ),
        ("gmrd.nn.build_network", {"decoder": {"n_hidden": 0}}, "k.decoder.n_hidden=0: expected"),
        ("gmrd.nn.Network", {}, "k._target_=gmrd.nn.Network cannot be imported"),
    ],
)  # fmt: skip
def test_the_arguments_of_what_is_named(name: str, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        fitted("k", {"_target_": name, **settings}, Annotated[Mapping[str, Any], Part()])
    assert str(refused.value).startswith(sentence)


def test_what_a_default_or_another_class_says_is_taken() -> None:
    def made(size: int = None, *, tensor: torch.Tensor = None, **more: Any) -> None:  # noqa: RUF013
        """Annotated as many do."""

    refuse_wrong_arguments("k", made, {"size": None, "tensor": [1, 2], "other": "x"})
    with pytest.raises(InputError, match=r"k\.size=x: expected a whole number"):
        refuse_wrong_arguments("k", made, {"size": "x"})
    with pytest.raises(InputError, match=r"k\.first=0"):
        refuse_wrong_fields("k", Pair(0))
