"""Notebooks as files: found, read, and checked before anything is run.

papermill ignores a parameter that no cell declares, passes a value of any type, and exits 0 when
nothing reads it: the default's results would appear under another name. So it is checked here.
"""

import ast
import re
import symtable
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from padalib.engine import paths

KERNEL = "python3"
TYPES = {kind.__name__: kind for kind in (str, int, float, bool, list, dict)}  # papermill's


class NotebookError(ValueError):
    """A notebook, or a request about notebooks, that cannot be run as it is."""


@dataclass(frozen=True)
class Parameter:
    """A line `name: type = default` of a parameters cell; without a type, the default's own."""

    name: str
    default: Any
    kind: str  # as written, such as 'int | None'; '' allows everything

    def allows(self, value: Any) -> bool:
        """Whether the value is of the declared type; True is no int, an int is a float."""
        fits = not self.kind or _fits(value, ast.parse(self.kind, mode="eval").body)
        return fits and _can_be_passed(value)

    def parse(self, text: str) -> Any:
        """The value that a command line means; NotebookError where it is of another type."""
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        return self.check(text if self.allows(text) and not self.allows(value) else value)

    def check(self, value: Any) -> Any:
        """The value itself; NotebookError where it is of another type."""
        if not self.allows(value):
            also = " (write True or False)" if self.kind == "bool" else ""
            raise NotebookError(
                f"parameter {self.name} is declared as {self.kind}{also}, got {value!r}"
            )
        return value


def find() -> list[Path]:
    """The project's notebooks, `notebooks/NN_*.ipynb`, in order."""
    folder = paths.project_root() / "notebooks"
    if found := sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        return found
    raise NotebookError(f"no NN_*.ipynb in {folder}; run this from a clone of the project")


def asked(files: Iterable[Path]) -> list[Path]:
    """The notebooks asked for; a number such as '08' is that one of the project's.

    A path that leads nowhere from the current folder is tried from the project's root.
    """
    return [_numbered(path.name) if _is_number(path) else _from_root(path) for path in files]


def _from_root(path: Path) -> Path:
    there = paths.project_root() / path
    return there if there.exists() and not path.exists() else path


def _is_number(path: Path) -> bool:
    return bool(re.fullmatch("[0-9]{1,2}", str(path))) and not path.exists()


def _numbered(number: str) -> Path:
    own = {path.stem[:2]: path for path in find()}
    if number.zfill(2) not in own:
        raise NotebookError(f"no notebook is called {number.zfill(2)}: choose {', '.join(own)}")
    return own[number.zfill(2)]


def read(path: Path) -> nbformat.NotebookNode:
    """A notebook that follows the nbformat schema, cell ids included."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # nbformat mends a missing id with a warning
            notebook = nbformat.v4.reads_json(path.read_text(encoding="utf-8"))
            nbformat.validate(notebook, version=4)
    except OSError as error:
        raise NotebookError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, AttributeError, nbformat.ValidationError, Warning) as error:
        reason = str(error).partition("\n")[0]
        raise NotebookError(f"{path.name} is not a valid notebook: {reason}") from error
    return notebook


def tags(cell: nbformat.NotebookNode) -> list[str]:
    """A cell's tags."""
    return cell.metadata.get("tags", [])


def title(notebook: nbformat.NotebookNode, default: str) -> str:
    """The first heading of a notebook."""
    for cell in notebook.cells:
        for line in cell.source.splitlines() if cell.cell_type == "markdown" else ():
            if line.startswith("# "):
                return line[2:].strip()
    return default


def declared(path: Path) -> dict[str, Parameter]:
    """The parameters of the cell tagged `parameters`; `x = 3` and `x: int = 3` both count."""
    cells = [cell for cell in read(path).cells if "parameters" in tags(cell)]
    if len(cells) != 1 or cells[0].cell_type != "code":
        raise NotebookError(
            f"{path.name} has {len(cells)} cells tagged `parameters`, needs exactly one, of code; "
            "set or remove the tag in JupyterLab's property inspector"
        )
    found: dict[str, Parameter] = {}
    wrong = f"{path.name}: its parameters cell may hold only comments and `name = literal`, not"
    try:
        statements = ast.parse(cells[0].source).body
    except SyntaxError as error:
        raise NotebookError(f"{wrong} `{(error.text or '').strip()}`") from error
    for statement in statements:
        try:
            parameter = _parameter(statement)
        except (AttributeError, TypeError, ValueError) as error:
            raise NotebookError(f"{wrong} `{ast.unparse(statement)}`") from error
        if parameter.name in found:
            raise NotebookError(f"{path.name} declares parameter {parameter.name} twice")
        try:
            parameter.check(parameter.default)
        except ValueError as error:
            raise NotebookError(f"{path.name}: {error} as its default") from error
        found[parameter.name] = parameter
    return found


def _parameter(statement: ast.stmt) -> Parameter:
    value = ast.literal_eval(statement.value)
    if isinstance(statement, ast.AnnAssign):
        return Parameter(statement.target.id, value, ast.unparse(statement.annotation))
    (target,) = statement.targets
    kind = "" if value is None else type(value).__name__
    return Parameter(target.id, value, kind)


def _fits(value: Any, kind: ast.expr) -> bool:
    """Whether a value is of an annotated type; only what papermill can pass on is understood."""
    match kind:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _fits(value, left) or _fits(value, right)
        case ast.Constant(value=None):
            return value is None
        case ast.Name(id="float"):
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case ast.Name(id=name) if name in TYPES:
            return type(value) is TYPES[name]
        case ast.Subscript(value=ast.Name(id=name), slice=inner) if name in TYPES:
            return type(value) is TYPES[name] and _holds(value, inner)
    raise NotebookError(
        f"type {ast.unparse(kind)!r} of a parameter is not understood; known are "
        f"{', '.join(TYPES)}, None, `|` and list[...]"
    )


def _holds(value: Any, inner: ast.expr) -> bool:
    """Whether the items of a container are of the types in its brackets."""
    if isinstance(value, dict):
        key, item = inner.elts
        return all(_fits(k, key) and _fits(v, item) for k, v in value.items())
    return all(_fits(item, inner) for item in value)


def _can_be_passed(value: Any) -> bool:
    """Whether papermill writes the value as what it is; anything else it turns into a string."""
    if isinstance(value, (list, dict)):
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return all(map(_can_be_passed, inner))
    return value is None or type(value) in TYPES.values()


def check(path: Path, values: Mapping[str, Any]) -> None:
    """Raise a NotebookError unless `path` can be run with these parameters, and obeys them.

    Every parameter must be read by a later cell and written by none. What a cell does through
    `exec`, `globals()` or a star import is not seen.
    """
    known = declared(path)
    kernel = read(path).metadata.get("kernelspec", {}).get("name")
    if kernel != KERNEL:
        raise NotebookError(
            f"{path.name} asks for kernel {kernel!r}, needs {KERNEL!r}; choose "
            "`Python 3 (ipykernel)` in JupyterLab and save"
        )
    if unknown := [repr(name) for name in values if name not in known]:
        raise NotebookError(
            f"{path.name} declares no parameter {', '.join(unknown)}; "
            f"its parameters cell has {', '.join(known) or 'none'}"
        )
    for name, value in values.items():
        try:
            known[name].check(value)
        except ValueError as error:
            raise NotebookError(f"{path.name}: {error}") from error
    unread = dict.fromkeys(known)
    for number, cell in _after_parameters(path):
        reads, writes = _names(cell.source, f"{path.name}, cell {number}")
        if taken := sorted(writes & set(known)):
            raise NotebookError(
                f"{path.name}, cell {number} overwrites parameter {', '.join(taken)}: whatever is "
                "passed would be lost; give it another name there"
            )
        unread = {name: None for name in unread if name not in reads}
    if unread:
        raise NotebookError(
            f"{path.name}: no cell reads parameter {', '.join(unread)}: whatever is passed would "
            "change nothing; use it or take it out of the parameters cell"
        )


def _after_parameters(path: Path) -> Iterator[tuple[int, nbformat.NotebookNode]]:
    """Code cells below the parameters, numbered from 1; papermill replaces what it injected."""
    seen = False
    for number, cell in enumerate(read(path).cells, start=1):
        if seen and cell.cell_type == "code" and "injected-parameters" not in tags(cell):
            yield number, cell
        seen |= "parameters" in tags(cell)


def _names(source: str, where: str) -> tuple[set[str], set[str]]:
    """The notebook-wide names that a cell reads and those that it writes, functions included."""
    plain = _plain(source)
    reads, writes = set(re.findall(r"\w+", source)) if plain != source else set(), set()
    try:
        top = symtable.symtable(plain, where, "exec")
    except SyntaxError as error:
        raise NotebookError(f"{where} is no Python: {error.msg} (line {error.lineno})") from error

    def walk(table: symtable.SymbolTable) -> None:
        for symbol in table.get_symbols():
            if table is not top and not symbol.is_global():
                continue
            name = symbol.get_name()
            if symbol.is_referenced():
                reads.add(name)
            if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace():
                writes.add(name)
        for inner in table.get_children():
            walk(inner)

    walk(top)
    return reads, writes


def _plain(source: str) -> str:
    """A cell's source as Python, its magics turned into calls (their words count as read)."""
    try:
        ast.parse(source)
        return source
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager  # for magics alone

        return TransformerManager().transform_cell(source)


def code(notebook: nbformat.NotebookNode) -> str:
    """All code of a notebook, from which it is told whether two are the same."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return "\n\n".join(cell.source for cell in cells if "injected-parameters" not in tags(cell))
