"""Every exception as one sentence: what the user can do, or where a defect's traceback is."""

from __future__ import annotations

import errno
import os
import platform
import re
import sys
import tempfile
import traceback
from importlib.metadata import version
from pathlib import Path

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    OverrideParseException,
)
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from gmrd.cli.composition import REFERENCES, of_anything, of_reference, of_refusal
from gmrd.errors import InputError
from gmrd.io.atomic import REMEDIES, explained
from gmrd.io.cache_dir import default_cache_dir

NO_LOG = "Unable to configure handler"
"""Words of logging's ValueError where the log cannot be written, in a run's folder that exists."""

MISSING = re.compile(r"Missing mandatory value: (\S+)")

OUT_OF_MEMORY = ("OutOfMemoryError", "DefaultCPUAllocator", "not enough memory")
"""torch raises its own class on a GPU, and a RuntimeError with these words on a CPU."""

KEPT = 20
"""Number of traceback files to keep."""

LONGEST = 1500
"""Characters of a sentence; of a longer one, which quotes a long value, the middle is left out."""


def sentence(error: BaseException) -> str | None:
    """The sentence for an error of input, settings or machine; None for a defect of gmrd."""
    said = _sentence(error)
    if said is None or len(said) <= LONGEST:
        return said
    return f"{said[: LONGEST // 2]} […] {said[-LONGEST // 2 :]}"


def _sentence(error: BaseException) -> str | None:
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        return _sentence(error.__cause__) or of_refusal(error)
    if isinstance(error, InputError):
        return str(error)
    if (missing := _missing(error)) is not None:
        return f"{missing} is not set: add {missing}=... to the command"
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override} cannot be parsed as key=value: quote a value that contains any of "
            "=()[]{}:, with quotes that the shell keeps, as in 'query=\"a(1).nii\"'"
        )
    if isinstance(error, ConfigCompositionException) and isinstance(error.__cause__, REFERENCES):
        return of_reference(error.__cause__)
    if isinstance(error, REFERENCES):
        return of_reference(error)
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return of_refusal(error) or of_anything(error)
    cause = error.__cause__
    if str(error).startswith(NO_LOG) and isinstance(cause, OSError) and cause.filename:
        return str(explained(Path(cause.filename), cause))
    if isinstance(error, OSError) and error.errno is not None:
        return _of_system(error)
    if isinstance(error, MemoryError) or any(words in repr(error) for words in OUT_OF_MEMORY):
        return "out of memory: crop or resample the scan, or use a machine with more memory"
    if type(error).__module__.startswith("wandb.") and type(error).__name__ == "UsageError":
        return f"Weights & Biases: {error} To log without an account: logger.wandb.offline=true"
    return None


def defect(error: BaseException) -> str:
    """The sentence for a defect; its traceback goes to a private file."""
    what = " ".join(traceback.format_exception_only(error)[-1].split())[:300]
    return (
        f"this is a defect of gmrd, not of your input: {what}. The traceback is in "
        f"{_written(error)}; please report it with that file (see docs/security.md), which "
        "contains the names of your files"
    )


def _missing(error: BaseException) -> str | None:
    found = MISSING.search(str(error))
    if found is not None and isinstance(error, OmegaConfBaseException):
        return found[1]
    if isinstance(error, MissingMandatoryValue):
        return error.full_key or str(error).rsplit(" ", 1)[-1]
    return None


def _of_system(error: OSError) -> str:
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    where = " and ".join(names) or "operating system"
    if isinstance(error, FileNotFoundError) and not names:
        return "the working directory no longer exists: change to another folder"
    if isinstance(error, FileExistsError) and names:
        is_folder = os.path.isdir(names[-1])
        what = "exists already" if is_folder else "is not a folder: a folder is expected there"
        return f"{names[-1][:300]} {what}"
    said = f"{where[:300]}: {error.strerror or type(error).__name__}"
    # Others may have happened while reading, where the remedies are wrong.
    known = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG, errno.ENOTDIR)
    return f"{said}; {REMEDIES[error.errno]}" if error.errno in known else said


def _written(error: BaseException) -> Path:
    about = (
        f"gmrd {version('gmrd')}, Python {platform.python_version()}, {platform.platform()}",
        f"command: {sys.argv}",
        "".join(traceback.format_exception(error)),
    )
    try:
        folder = default_cache_dir() / "defects"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in sorted(folder.glob("*.txt"), key=os.path.getmtime)[: 1 - KEPT]:
            old.unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(".txt", "traceback-", folder)
    except OSError:
        handle, name = tempfile.mkstemp(".txt", "gmrd-traceback-")
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write("\n".join(about))
    return Path(name)
