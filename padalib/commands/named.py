"""A space by its name, or one of the reader's own as `file.py:NAME`."""

import importlib
import importlib.util
import sys
from pathlib import Path

from padalib import spaces
from padalib.spaces import Space

WRITE = "write it as file.py:NAME, such as mine.py:SPACE, with a line `SPACE = Mine()` in mine.py"


def space(text: str) -> Space:
    """The space that a text names; ValueError that says what is wrong.

    The file is imported as a module of its own name, so that the processes that train find it too.
    """
    file, colon, name = text.rpartition(":")
    if not colon and not text.endswith(".py"):
        return spaces.get(text)
    if not colon or not name:
        raise ValueError(f"{text!r} does not say which space of the file: {WRITE}")
    module = _module(Path(file))
    found = getattr(module, name, None)
    if isinstance(found, type):
        raise ValueError(f"{name} in {file} is a class: {WRITE}")
    if not isinstance(found, Space):
        held = [key for key, value in vars(module).items() if isinstance(value, Space)]
        raise ValueError(
            f"{file} has no space {name!r}, but {', '.join(held) or 'none at all'}: {WRITE}"
        )
    return spaces.usable(found)


def _module(path: Path):
    if path.suffix != ".py" or not path.is_file():
        raise ValueError(f"there is no Python file {path}: {WRITE}")
    name, path = path.stem, path.resolve()
    if not name.isidentifier():
        raise ValueError(f"{path.name} cannot be imported: give it a name of letters, digits and _")
    sys.path.insert(0, str(path.parent))
    importlib.invalidate_caches()
    try:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or Path(spec.origin).resolve() != path:
            raise ValueError(f"{path.name} has the name of another module: rename the file")
        return importlib.import_module(name)
    except ValueError:
        raise
    except Exception as error:  # whatever the reader's own file raises
        raise ValueError(f"{path} stops with {type(error).__name__}: {error}") from error
