"""What SimpleITK says of a file that it cannot read."""

from __future__ import annotations

import pytest

from gmrd.errors import InputError
from gmrd.io import itk


class Refusing:
    """A reader that fails with ITK's words."""

    def __init__(self, words: str) -> None:
        self.words = words

    def Execute(self) -> None:  # noqa: N802
        raise RuntimeError(self.words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("itk::ERROR: reader(0x1): Could not open\nReason: Success\n", "Could not open"),
        ("itk::ERROR: reader(0x1): no pixels\n", "no pixels"),
        ("Reason: Success", "does not say why"),
    ],
)
def test_the_reason_is_never_success(words: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        itk._read(Refusing(words), "slice.dcm")
    assert "Success" not in str(refused.value)
