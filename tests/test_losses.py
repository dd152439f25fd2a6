"""The losses, against torch's own and against cases worked out by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gmrd.losses import auxiliary_loss, negative_log_likelihood
from gmrd.nn import Descriptors


def test_likelihood_equals_torchs() -> None:
    torch.manual_seed(0)
    probabilities = torch.randn(1, 2, 2, 5, 6).softmax(dim=2)
    masks = torch.randint(0, 2, (1, 2, 5, 6))
    masks[0, 0, 0] = 255
    weights = torch.tensor([0.1, 1.0])
    ours = negative_log_likelihood(probabilities, masks, weights)
    theirs = F.nll_loss(probabilities[0].log(), masks[0], weights, ignore_index=255)
    torch.testing.assert_close(ours[0], theirs)


def test_certain_mistakes_and_all_ignored_stay_finite() -> None:
    certain = torch.stack([torch.ones(3, 3), torch.zeros(3, 3)])[None, None]
    weights = torch.ones(2)
    wrong = negative_log_likelihood(certain, torch.ones(1, 1, 3, 3, dtype=torch.long), weights)
    assert wrong.item() == pytest.approx(-torch.tensor(torch.finfo(torch.float32).eps).log().item())
    ignored = torch.full((1, 1, 3, 3), 255)
    assert negative_log_likelihood(certain, ignored, weights).item() == 0


def test_auxiliary_loss_of_known_descriptors() -> None:
    e = torch.eye(4)
    foreground, background = e[[0, 0, 0, 0]][None], e[[1, 1, 1, 1]][None]
    same = Descriptors(3 * foreground, 2 * background)
    assert auxiliary_loss(same, same).item() == pytest.approx(0)
    swapped = Descriptors(background, foreground)
    assert auxiliary_loss(same, swapped).item() == pytest.approx(2)
    mixed = Descriptors(foreground, foreground)
    assert auxiliary_loss(mixed, mixed).item() == pytest.approx(2)
    # Generated rows take their best match; the mean and the boundary row only their own.
    shuffled = Descriptors(e[[0, 1, 2, 3]][None], background)
    other = Descriptors(e[[1, 0, 3, 2]][None], background)
    assert auxiliary_loss(shuffled, other).item() == pytest.approx(0.5 + 2 * 1 / 4)
