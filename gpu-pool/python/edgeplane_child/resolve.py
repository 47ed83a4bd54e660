"""Turns annotations that are text (``from __future__ import annotations``, forward references) into types.

Python before 3.10 cannot evaluate ``X | Y``, and before 3.9 not ``list[X]``: both are rewritten to their ``typing``
forms first, so that a model written with new syntax runs on an old Python.
"""

from __future__ import annotations

import ast
import typing
from typing import Any, Dict

_BUILTINS = {"list": "List", "dict": "Dict", "tuple": "Tuple", "set": "Set", "frozenset": "FrozenSet", "type": "Type"}
_TYPING = "__edgeplane_typing__"


def _typing_name(name: str) -> ast.expr:
    return ast.Attribute(value=ast.Name(id=_TYPING, ctx=ast.Load()), attr=name, ctx=ast.Load())


class _Modernize(ast.NodeTransformer):
    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:  # noqa: N802
        self.generic_visit(node)
        if not isinstance(node.op, ast.BitOr):
            return node
        both: Any = ast.Tuple(elts=[node.left, node.right], ctx=ast.Load())
        if not hasattr(ast, "unparse"):
            both = ast.Index(value=both)
        return ast.Subscript(value=_typing_name("Union"), slice=both, ctx=ast.Load())

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id in _BUILTINS:
            node.value = _typing_name(_BUILTINS[node.value.id])
        return node


def resolve(annotation: Any, namespace: Dict[str, Any]) -> Any:
    """The type that an annotation names. Raises what evaluating the text raises."""
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if not isinstance(annotation, str):
        return annotation
    tree = ast.parse(annotation.strip(), mode="eval")
    tree = ast.fix_missing_locations(_Modernize().visit(tree))
    scope = dict(namespace)
    scope[_TYPING] = typing
    return eval(compile(tree, "<annotation>", "eval"), scope)
