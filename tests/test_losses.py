"""The losses, against torch's own and against cases worked out by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gmrd.losses import GMRDLoss, auxiliary_loss, negative_log_likelihood
from gmrd.nn import Descriptors, NetworkOutput
from gmrd.types import Episode


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


@pytest.mark.parametrize("n_shot", [1, 3])
def test_the_published_auxiliary_loss_is_counted_once_a_shot(n_shot: int) -> None:
    torch.manual_seed(1)
    output, episode = made(n_shot)
    ours = GMRDLoss()(output, episode)
    theirs = GMRDLoss(auxiliary_shots="sum")(output, episode)
    by_hand = sum(auxiliary_loss(output.support, output.query).mean() for _ in range(n_shot))
    torch.testing.assert_close(theirs["auxiliary"], by_hand)
    difference = theirs["total"] - ours["total"]
    torch.testing.assert_close(difference, 0.5 * (n_shot - 1) * ours["auxiliary"])


def made(n_shot: int) -> tuple[NetworkOutput, Episode]:
    """An episode of random masks with random predictions and descriptors."""
    masks = (torch.rand(1, n_shot + 1, 4, 4) > 0.5).float()
    images = torch.zeros_like(masks)
    descriptors = [Descriptors(torch.randn(1, 5, 6), torch.randn(1, 7, 6)) for _ in range(2)]
    output = NetworkOutput(
        torch.rand(1, 1, 2, 4, 4).softmax(dim=2),
        torch.rand(1, n_shot, 2, 4, 4).softmax(dim=2),
        torch.ones(1, dtype=torch.bool),
        *descriptors,
    )
    episode = Episode(images[:, :-1], masks[:, :-1], images[:, -1:], masks[:, -1:].long())
    return output, episode
