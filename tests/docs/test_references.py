"""Every citation key that the code or the pages use is in docs/references.bib, once, with what a reader needs."""

import re

import pytest

from pages import DOCS, ROOT
from pellucid.core.explainer import EXPLAINERS
from pellucid.core.metric import METRICS

# A key in running text: surname, year, first word of the title.
KEY = re.compile(r"\b[a-z]+(?:18|19|20)\d\d[a-z]+\b")
BIB = (DOCS / "references.bib").read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"^@\w+\{(\w+),\n(.*?)^\}", BIB, flags=re.M | re.S))


def used():
    sources = [*(ROOT / "src").rglob("*.py"), *DOCS.glob("*.md"), ROOT / "README.md"]
    return {key: path.name for path in sources for key in KEY.findall(path.read_text(encoding="utf-8"))}


def test_every_key_in_use_is_there():
    missing = {key: where for key, where in used().items() if key not in ENTRIES}
    assert missing == {}


def test_no_entry_is_unused_or_there_twice():
    keys = re.findall(r"^@\w+\{(\w+),", BIB, flags=re.M)
    assert len(keys) == len(set(keys))
    assert set(keys) == set(ENTRIES)
    assert set(keys) - set(used()) == set()


@pytest.mark.parametrize("registry", [EXPLAINERS, METRICS], ids=["methods", "metrics"])
def test_everything_registered_has_a_source(registry):
    for name, cls in registry.items():
        assert cls.source in ENTRIES, f"{name}: source {cls.source!r}"


@pytest.mark.parametrize("key", ENTRIES)
def test_an_entry_has_author_title_year_and_where(key):
    entry = ENTRIES[key]
    fields = dict(re.findall(r"^\s+(\w+)\s*= \{(.*)\},?$", entry, flags=re.M))
    assert {"author", "title", "year"} <= set(fields)
    assert {"journal", "booktitle", "eprint"} & set(fields)
    assert fields["year"] in key
    first = re.sub(r"\\[a-z]\b|[^a-z]", "", fields["author"].split(",")[0].lower())  # \v{s} is an s
    assert key.startswith(first)
