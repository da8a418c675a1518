"""The tutorial's sources as notebooks.  percent-format Python files -> executed notebooks beside them, the same ones again."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def executed(source: Path) -> nbformat.NotebookNode:
    """The notebook of one source with its outputs, free of anything that differs from run to run or from machine to machine."""
    read = jupytext.read(source)
    with tempfile.TemporaryDirectory() as elsewhere:  # a cell that writes must not leave files here
        settings = {"kernel_name": KERNEL["name"], "timeout": 600, "record_timing": False, "coalesce_streams": True}
        NotebookClient(read, resources={"metadata": {"path": elsewhere}}, **settings).execute()
    for place, cell in enumerate(read.cells):
        cell.id, cell.metadata = f"cell-{place}", {}
        for output in cell.get("outputs", []):
            _without_the_plain(output)
    read.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    nbformat.validate(read)
    return read


def _without_the_plain(output: nbformat.NotebookNode) -> None:
    """Where there is a table or a picture nobody reads the value's ``repr``, which holds wall times."""
    if len(output.get("data", {})) > 1:
        output.data.pop("text/plain", None)


def main(names: list[str]) -> None:
    """Executes the sources named, or all of them."""
    here = Path(__file__).parent
    for source in [Path(name) for name in names] or sorted(set(here.glob("*.py")) - {Path(__file__)}):
        nbformat.write(executed(source), source.with_suffix(".ipynb"))
        print(source.with_suffix(".ipynb").name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
