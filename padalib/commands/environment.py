"""What the notebooks need around them: the kernel, and a git filter that keeps outputs out."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from padalib.commands.notebooks import KERNEL, NotebookError
from padalib.engine import paths

# What papermill and JupyterLab write beside the outputs, and nbstripout keeps unless told.
EXTRA_KEYS = " ".join(
    [
        "metadata.papermill",
        "metadata.language_info.codemirror_mode",
        "metadata.language_info.file_extension",
        "metadata.language_info.mimetype",
        "metadata.language_info.nbconvert_exporter",
        "metadata.language_info.pygments_lexer",
        "metadata.language_info.version",
        "cell.metadata.papermill",
        "cell.metadata.editable",
        "cell.metadata.jupyter",
        "cell.metadata.slideshow",
        "cell.metadata.trusted",
    ]
)


def check_kernel() -> None:
    """Raise a NotebookError unless kernel `python3` is this very python."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    remedy = "run `make setup`, or `python -m ipykernel install --sys-prefix` in this environment"
    try:
        command = KernelSpecManager().get_kernel_spec(KERNEL).argv[0]
    except NoSuchKernel:
        raise NotebookError(f"there is no Jupyter kernel {KERNEL!r}; {remedy}") from None
    # Jupyter itself replaces a bare `python` by the interpreter that starts the kernel.
    if os.sep in command and Path(command).parent != Path(sys.executable).parent:
        raise NotebookError(f"kernel {KERNEL!r} is {command}, another environment; {remedy}")


@contextmanager
def for_kernels(workers: int | None = None) -> Iterator[None]:
    """The environment variables that headless kernels inherit."""
    before = dict(os.environ)
    os.environ |= {
        "PADALIB_HEADLESS": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "JUPYTER_PREFER_ENV_PATH": "1",
    }
    if workers is not None:
        os.environ["PADALIB_WORKERS"] = str(workers)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def install_filter(root: Path) -> None:
    """Make nbstripout the required git filter of the checkout at `root`, if it is one."""
    if not (root / ".git").exists():
        print("no git checkout here, so no git filter to install")
        return
    if shutil.which("git") is None:
        print("git is not installed, so its filter for notebooks is not: run this again with it")
        return
    strip = f'"{Path(sys.executable).as_posix()}" -m nbstripout'
    for key, value in {
        "filter.nbstripout.clean": strip,
        "filter.nbstripout.smudge": "cat",
        "filter.nbstripout.required": "true",
        "filter.nbstripout.extrakeys": EXTRA_KEYS,
        "diff.ipynb.textconv": f"{strip} -t",
    }.items():
        config = ["git", "-C", str(root), "config", "--local"]
        old = subprocess.run([*config, "--get", key], capture_output=True, text=True)
        if old.stdout.rstrip("\n") != value:
            subprocess.run([*config, "--replace-all", key, value], check=True)


def set_up() -> None:
    """See to the kernel and the git filter; changes nothing where they are in place."""
    with for_kernels():
        try:
            check_kernel()
        except NotebookError:
            command = [sys.executable, "-m", "ipykernel", "install", "--sys-prefix"]
            subprocess.run(command, check=True)
            check_kernel()
    install_filter(paths.project_root())
    print(f"environment: {sys.prefix}")
    activate = Path(sys.prefix) / "bin" / "activate"
    if activate.exists() and not os.environ.get("VIRTUAL_ENV"):
        print(f"for the command `padalib`: source {activate}")
