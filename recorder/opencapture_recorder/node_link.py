"""Puts this recorder where the Node SDK looks for its own: <node_modules/videodb>/bin/recorder."""

import json
from pathlib import Path

from opencapture_recorder.errors import RecorderError


def link_node(package: Path) -> Path:
    """Link `bin/recorder` in an installed `videodb` npm package; returns the link's path.

    A link made earlier is replaced; a file that is not a link is left alone. Raises RecorderError.
    """
    from videodb_capture_bin import get_binary_path

    try:
        name = json.loads((package / "package.json").read_text(encoding="utf-8")).get("name")
    except (OSError, ValueError, AttributeError):
        name = None
    if name != "videodb":
        raise RecorderError(f"{package} is not an installed videodb npm package")
    link = package / "bin" / "recorder"
    try:
        target = get_binary_path()
        link.parent.mkdir(exist_ok=True)
        if link.is_symlink():
            link.unlink()
        link.symlink_to(target)
    except FileExistsError:
        raise RecorderError(f"{link} exists and is not a link; remove it first") from None
    except OSError as error:
        raise RecorderError(f"{link} cannot be made: {error}") from None
    return link
