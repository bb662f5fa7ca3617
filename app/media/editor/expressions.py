"""Positions as the old timeline writes them: numbers, or sums and products of a few sizes."""

import ast
import math
import operator
from collections.abc import Callable, Mapping

_OPERATIONS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
# FFmpeg's drawtext calls the sizes of the canvas and of the text by all of these.
_SHORT = {"w": "main_w", "W": "main_w", "h": "main_h", "H": "main_h", "tw": "text_w", "th": "text_h"}
_NAMES = {"main_w", "main_h", "text_w", "text_h"}
_LONGEST_CHARACTERS = 100
_LARGEST_PIXELS = 100_000.0


class Expression:
    """A checked expression such as `(main_w-text_w)/2`. Raises `ValueError` when it is none."""

    def __init__(self, text: str | float) -> None:
        source = str(text)
        if len(source) > _LONGEST_CHARACTERS:
            raise ValueError(f"may have {_LONGEST_CHARACTERS} characters")
        try:
            self._tree = ast.parse(source.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            raise ValueError("must be a number or an expression like (main_w-text_w)/2") from error
        self.evaluate(dict.fromkeys(_NAMES, 1.0))

    def evaluate(self, sizes: Mapping[str, float]) -> float:
        """Its value in pixels for these sizes, by their long names; what divides by zero is 0."""
        try:
            value = _evaluated(self._tree, sizes)
        except (ZeroDivisionError, OverflowError):
            return 0.0
        if math.isnan(value):
            return 0.0
        return min(max(value, -_LARGEST_PIXELS), _LARGEST_PIXELS)


def _evaluated(node: ast.expr, sizes: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return float(number)
        case ast.Name(id=name) if _SHORT.get(name, name) in _NAMES:
            return sizes[_SHORT.get(name, name)]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluated(operand, sizes)
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _OPERATIONS:
            return _OPERATIONS[type(operation)](_evaluated(left, sizes), _evaluated(right, sizes))
    raise ValueError("knows numbers, + - * /, main_w, main_h, text_w and text_h")
