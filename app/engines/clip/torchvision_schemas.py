"""Imports torchvision beside a torch that it was not built for."""

import sys
from typing import Any

# Operators of its compiled part, which a CUDA build cannot load beside a torch for the CPU. Python code of
# torchvision registers itself with them when it is imported; nothing that encodes pictures calls them.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept: list[Any] = []  # a library that is forgotten takes its schemas with it


def import_torchvision() -> None:
    """Import it; where its operators are missing, with their names alone. Raises `ImportError`."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise ImportError("torchvision does not fit to torch") from error
    else:
        return
    import torch

    library: Any = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    _kept.append(library)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # half imported
    import torchvision  # noqa: F401
