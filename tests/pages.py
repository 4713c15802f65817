"""The project's Markdown pages as tests see them: code blocks, tables, and a place to run the code in."""

import os
import re
import sys
from contextlib import contextmanager
from pathlib import Path

from pellucid.core.explainer import EXPLAINERS
from pellucid.core.metric import METRICS
from pellucid.data.registry import DATASETS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
FILE = re.compile(r"^# (\w+\.py)$")


def text_of(page):
    """A page's text; ``page`` is a path from the project's root."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page, language="python"):
    """The page's code blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), flags=re.M | re.S)


def section(page, title):
    """The text under a heading, up to the next one of the same level or above."""
    lines = text_of(page).splitlines()
    start = next(i for i, line in enumerate(lines) if re.fullmatch(rf"#+ {re.escape(title)}", line))
    level = len(lines[start].split(" ")[0])
    end = next(
        (i for i in range(start + 1, len(lines)) if re.match(rf"#{{1,{level}}} ", lines[i])),
        len(lines),
    )
    return "\n".join(lines[start + 1 : end])


def tables(text):
    """All tables of a text: each a list of rows, each a dict from heading to cell."""
    found, rows = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
            continue
        if len(rows) > 2:
            head, _, *body = rows
            assert all(len(row) == len(head) for row in body), f"a row of another length under {head}: {body}"
            found.append([dict(zip(head, row)) for row in body])
        rows = []
    return found


def code(cell):
    """What stands between backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


@contextmanager
def isolated(folder):
    """Work in ``folder``; what is registered and imported inside is forgotten afterwards."""
    registries = [EXPLAINERS, METRICS, DATASETS]
    before = [(len(r), dict(r._entries))[1] for r in registries]  # len() loads everything that is ours first
    modules, path, cwd = set(sys.modules), list(sys.path), Path.cwd()
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        os.chdir(cwd)
        sys.path[:] = path
        for registry, entries in zip(registries, before):
            registry._entries = entries
        for name in set(sys.modules) - modules:
            if getattr(sys.modules[name], "__file__", None) and Path(sys.modules[name].__file__).parent == folder:
                del sys.modules[name]


def run_blocks(page, folder):
    """Run a page's Python: a block that begins with ``# NAME.py`` is written to that file, the others are executed.

    Returns the names that the executed blocks have set.
    """
    names = {"__name__": "__page__"}
    for i, source in enumerate(blocks(page)):
        named = FILE.match(source.splitlines()[0])
        if named:
            (folder / named.group(1)).write_text(source, encoding="utf-8")
        else:
            exec(compile(source, f"{page}, block {i + 1}", "exec"), names)
    return names
