"""Attribute docstrings: the strings below the fields of a model in its source."""

import ast
import inspect
import sys
from functools import cache

from pydantic import BaseModel


def documented(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstring of each field that has one, on one line, by the name of the field.

    pydantic can collect them too, but does so at every import, which would slow the daemon's start.
    """
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        # A model created by a function is not in the source.
        found |= _classes(base.__module__).get(base.__name__, {})
    return {key: text for key, text in found.items() if key in model.model_fields}


@cache
def _classes(module: str) -> dict[str, dict[str, str]]:
    if not module.startswith("healthd."):
        return {}
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: _fields(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _fields(definition: ast.ClassDef) -> dict[str, str]:
    found: dict[str, str] = {}
    for statement, below in zip(definition.body, definition.body[1:], strict=False):
        match statement, below:
            case (
                ast.AnnAssign(target=ast.Name(id=key)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[key] = " ".join(text.split())
            case _:
                pass
    return found
