"""A real JupyterLab in a real browser, driven as its user would: by clicks, keys and menus."""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import nbformat

TIMEOUT = 600  # seconds for any one wait: against hanging for ever, not a measure of speed
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SETTINGS = {  # of JupyterLab: every cell in the page, not only those in view; no questions
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
# All cells are there and the kernel has answered.
READY = """cells => document.querySelectorAll('.jp-CodeCell').length === cells
  && document.querySelector('#jp-main-statusbar')?.innerText.includes('| Idle')"""
# Nothing runs and nothing waits to run, and something ran since prompt number `before`.
IDLE = """before => {
  const panel = document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden)');
  const status = panel?.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status;
  const prompts = [...(panel?.querySelectorAll('.jp-CodeCell .jp-InputPrompt') ?? [])]
    .map(prompt => prompt.textContent.trim());
  const counts = prompts.map(text => parseInt(text.slice(1)) || 0);
  return status === 'idle' && !prompts.some(text => text.includes('*'))
    && Math.max(0, ...counts) > before;
}"""


def browser_path() -> str | None:
    """Chromium or Chrome: what PADALIB_BROWSER names, else what is on the PATH."""
    asked = os.environ.get("PADALIB_BROWSER")
    return next(filter(None, map(shutil.which, [asked] if asked else NAMES)), None)


@contextmanager
def server(project: Path, env: dict[str, str], folder: Path) -> Iterator[str]:
    """JupyterLab on the project with no settings but ours; its address, with the token."""
    for plugin, settings in SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(settings))
    env = env | {
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "share"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": project,
        "IdentityProvider.token": token,
    }
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
    command += [f"--{name}={value}" for name, value in options.items()]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=env, cwd=project, stdout=log, stderr=log)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/status?token={token}", process, folder)
        yield f"http://127.0.0.1:{port}/lab/tree/{{}}?reset&token={token}"
    finally:
        process.terminate()  # shuts its kernels down, too
        process.wait(TIMEOUT)


def _wait_for(address: str, process: subprocess.Popen, folder: Path) -> None:
    end = time.monotonic() + TIMEOUT
    while process.poll() is None and time.monotonic() < end:
        try:
            with urlopen(address):
                return
        except URLError:
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{(folder / 'server.log').read_text()}")


class Lab:
    """One browser page with one notebook; `page` is Playwright's."""

    def __init__(self, page, address: str) -> None:
        self.page, self.address = page, address
        page.set_default_timeout(1000 * TIMEOUT)

    def open(self, notebook: Path) -> None:
        """Open one of `notebooks/` and wait for its cells and its kernel."""
        cells = nbformat.read(notebook, as_version=4).cells
        self.page.goto(self.address.format(f"notebooks/{notebook.name}"))
        self.page.wait_for_function(READY, arg=sum(c.cell_type == "code" for c in cells))

    def idle(self, before: int) -> None:
        """Wait until the kernel has done all that was asked since prompt number `before`."""
        self.page.wait_for_function(IDLE, arg=before)

    def menu(self, name: str, entry: str) -> None:
        """Choose an entry of a menu."""
        self.page.get_by_role("menuitem", name=name, exact=True).click()
        self.page.get_by_role("menuitem", name=re.compile(f"^{entry}")).first.click()

    def prompts(self) -> list[str]:
        """`[3]:` and the like, of every code cell."""
        return self.page.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()

    def count(self) -> int:
        """How many cells the kernel has run."""
        return max(int(re.sub(r"\D", "", text) or 0) for text in self.prompts())

    def run_all(self, wait: bool = True) -> None:
        """Run all cells, from the menu."""
        before = self.count()
        self.menu("Run", "Run All Cells")
        if wait:
            self.idle(before)

    def edit(self, containing: str, source: str) -> None:
        """Type a new source into the code cell that contains some text."""
        cell = self.page.locator(".jp-CodeCell", has_text=containing).first
        cell.locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(source)

    def images(self) -> list[dict]:
        """Source, alternative text, natural width and width in the page of every image shown."""
        return self.page.locator(".jp-OutputArea-output img").evaluate_all(
            "all => all.map(i => ({src: i.src, alt: i.alt, natural: i.naturalWidth,"
            " width: i.clientWidth, room: i.closest('.jp-OutputArea-output').clientWidth}))"
        )

    def text(self) -> str:
        """All that the outputs say."""
        return "\n".join(self.page.locator(".jp-OutputArea-output").all_inner_texts())

    def failed(self) -> list[str]:
        """What went wrong: cells that were not reached, and tracebacks."""
        waiting = [f"a cell was not run: {text}" for text in self.prompts() if text == "[ ]:"]
        kind = '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]'
        said = self.page.locator(kind).all_inner_texts()
        return waiting + [text for text in said if "Traceback" in text]


@contextmanager
def browser(executable: str, address: str) -> Iterator[Lab]:
    """A page of a fresh, windowless browser."""
    from playwright.sync_api import sync_playwright  # optional: tests that need it are skipped

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        try:
            yield Lab(chromium.new_page(viewport={"width": 1400, "height": 1000}), address)
        finally:
            chromium.close()
