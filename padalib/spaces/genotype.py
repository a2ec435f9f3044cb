"""Cells as DARTS publishes them: Genotype(normal=[('sep_conv_3x3', 0), ...], ...), as text.

Two terms (operation, input) for each node; a cell's inputs are 0 and 1 and its nodes 2, 3, ...
Text is parsed and never run.
"""

import ast
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

KINDS = ("normal", "reduce")


def write(cells: Iterable[Sequence[tuple[str, int]]]) -> str:
    """The text of a normal and a reduction cell, each a list of (operation, input)."""
    words = []
    for kind, terms in zip(KINDS, cells, strict=True):
        concat = [*range(2, 2 + len(terms) // 2)]
        words.append(f"{kind}={list(terms)}, {kind}_concat={concat}")
    return f"Genotype({', '.join(words)})"


def read(
    text: str, name: str, ops: Sequence[str], nodes: int
) -> Iterator[list[list[tuple[int, int]]]]:
    """Of each kind of cell and node, its two terms (input, place of the operation in `ops`).

    By input. ValueError names the cell, the node and the reason where it is none of space `name`.
    """
    fields = _fields(text)
    wanted = {f"{kind}{part}" for kind in KINDS for part in ("", "_concat")}
    if set(fields) != wanted:
        raise ValueError(
            f"a genotype has the fields {', '.join(sorted(wanted))}, got "
            f"{', '.join(sorted(fields)) or 'none'}"
        )
    every = [*range(2, nodes + 2)]
    for kind in KINDS:
        concat, terms = fields[f"{kind}_concat"], fields[kind]
        if not isinstance(concat, list | tuple | range) or [*concat] != every:
            raise ValueError(
                f"{kind} cell: {kind}_concat must be {every}, the output joins all nodes, got "
                f"{concat}"
            )
        if not isinstance(terms, list | tuple) or len(terms) != 2 * nodes:
            raise ValueError(
                f"{kind} cell: expected {2 * nodes} terms (operation, input), two for each of "
                f"{nodes} nodes, got {terms!r}"
            )
        yield [
            _node(f"{kind} cell, node {node}", node, terms[2 * node - 4 : 2 * node - 2], name, ops)
            for node in every
        ]


def _node(
    where: str, node: int, terms: Sequence[Any], name: str, ops: Sequence[str]
) -> list[tuple[int, int]]:
    found = []
    for term in terms:
        if not isinstance(term, list | tuple) or len(term) != 2:
            raise ValueError(f"{where}: expected (operation, input), got {term!r}")
        op, source = term
        if op not in ops:
            raise ValueError(f"{where}: {op!r} is no operation of {name}: {', '.join(ops)}")
        if type(source) is not int or not 0 <= source < node:
            raise ValueError(f"{where}: it can read 0..{node - 1}, got {source!r}")
        found.append((source, ops.index(op)))
    if found[0][0] == found[1][0]:
        raise ValueError(f"{where}: reads {found[0][0]} twice, expected two different inputs")
    return sorted(found)


def _fields(text: str) -> dict[str, Any]:
    """The fields of a genotype; ValueError where the text is none."""
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or call.args or ast.unparse(call.func) != "Genotype":
            raise ValueError("it is no call of Genotype with named fields only")
        return {word.arg or "**": _value(word.value) for word in call.keywords}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(
            f"cannot read {text[:60]!r}: {error}. Expected Genotype(normal=[('sep_conv_3x3', 0), "
            "...], normal_concat=[2, ...], reduce=[...], reduce_concat=[2, ...])"
        ) from None


def _value(node: ast.expr) -> Any:
    """A literal, or range(2, 6), as some genotypes are printed."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "range" and not node.keywords:
        ends = [ast.literal_eval(end) for end in node.args]
        if not all(type(end) is int and abs(end) < 100 for end in ends):
            raise ValueError(f"range of {ends}")
        return range(*ends)
    return ast.literal_eval(node)
