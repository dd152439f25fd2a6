"""One product of extended vectors is the resemblance that it stands for."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from gmrd.matching.kernel import TEMPERATURE, extended, resemblance


def test_the_product_is_cosine_and_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    query = F.normalize(torch.randn(5, 8, generator=generator), dim=1)
    support = F.normalize(torch.randn(7, 8, generator=generator), dim=1)
    here = 30 * torch.randn(5, 3, generator=generator)
    there = 30 * torch.randn(7, 3, generator=generator)
    deviations = torch.tensor([15.0, 35.0, 25.0])
    weights = resemblance(
        extended(query, here, deviations, query=True),
        extended(support, there, deviations, query=False),
    )
    for i in range(5):
        for j in range(7):
            far = (((here[i] - there[j]) / deviations) ** 2).sum()
            expected = torch.exp(TEMPERATURE * (query[i] @ support[j] - 1) - far / 2)
            torch.testing.assert_close(weights[i, j], expected, rtol=1e-4, atol=1e-12)
