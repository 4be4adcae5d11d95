"""What the source says of a model's fields: the strings below them."""

import ast
import inspect
import sys
from functools import cache

from pydantic import BaseModel


def documented(model: type[BaseModel]) -> dict[str, str]:
    """The strings that stand below fields, by the fields' names; in one line each.

    pydantic can collect them too, but does so at every import, which a gateway would wait for.
    """
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        # A model that a function made stands in no source.
        found |= _classes(one.__module__).get(one.__name__, {})
    return {key: text for key, text in found.items() if key in model.model_fields}


@cache
def _classes(module: str) -> dict[str, dict[str, str]]:
    if not module.startswith("healthd."):
        return {}
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {one.name: _fields(one) for one in tree.body if isinstance(one, ast.ClassDef)}


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
