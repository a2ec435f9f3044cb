"""Small made-up notebooks and projects for the tests of the driver and its company."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PARAMETERS = "scale = 'laptop'  # how large\nredraw: bool = False"
USED = "used = scale, redraw"


def write(path: Path, *sources: str, parameters: str | None = PARAMETERS, kernel="python3") -> Path:
    """A notebook whose first code cell reads `scale` and `redraw`."""
    cells = [new_markdown_cell("# A question")]
    if parameters is not None:
        cells.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    if parameters == PARAMETERS:
        cells.append(new_code_cell(USED))
    cells += [new_code_cell(source) for source in sources]
    spec = {"name": kernel, "display_name": "Python 3 (ipykernel)", "language": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": spec}), path)
    return path


def outputs(path: Path) -> str:
    """All that an executed notebook printed."""
    cells = nbformat.read(path, as_version=4).cells
    found = [out for cell in cells for out in cell.get("outputs", [])]
    return "".join(out.get("text", "") for out in found)
