"""The import seam of the official Python SDK: where the capture runtime's executable is."""

import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_DISTRIBUTION = "opencapture-recorder"
_SCRIPT = "opencapture-recorder"


def get_binary_path() -> str:
    """Absolute path of an executable that speaks the recorder protocol on stdio and needs no arguments.

    It is the console script that pip wrote for the environment this module was imported from, so it
    works in a virtual environment that is not activated and from an editable install. Raises
    FileNotFoundError where the distribution is not installed.
    """
    try:
        files = distribution(_DISTRIBUTION).files or []
    except PackageNotFoundError:
        raise FileNotFoundError(f"{_DISTRIBUTION} is not installed: pip install {_DISTRIBUTION}") from None
    for file in files:
        if file.name == _SCRIPT:
            path = Path(str(file.locate())).resolve()
            if path.is_file() and os.access(path, os.X_OK):
                return str(path)
    raise FileNotFoundError(f"The {_SCRIPT} script is missing: pip install --force-reinstall {_DISTRIBUTION}")
