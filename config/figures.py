"""Where several workers keep their figures, so that any of them can tell those of all."""

import os
import shutil
import tempfile

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def share_figures() -> str:
    """Make a private directory and name it in the environment; prometheus_client looks there when it is imported."""
    os.environ[VARIABLE] = tempfile.mkdtemp(prefix="relay-figures-")
    return os.environ[VARIABLE]


def drop_figures(directory: str) -> None:
    """Remove the directory with all that is in it."""
    shutil.rmtree(directory, ignore_errors=True)
