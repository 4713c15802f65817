"""A reader's form as one page that needs nothing from elsewhere and sends nothing anywhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import jinja2

from pellucid.readers.items import ITEMS, SCALE


@dataclass(frozen=True)
class Page:
    """One map in a form.

    Attributes:
        map: its id, which means nothing without the key.
        target: what is explained.
        prediction: what the model says; empty where it is not to be shown.
        picture: data URI of the case's pictures.
        heat: data URI of the map.
    """

    map: str
    target: str
    prediction: str
    picture: str
    heat: str


def page(pages: Sequence[Page], *, study: str, reader: int) -> str:
    """The HTML of a form."""
    pictures = list(dict.fromkeys(uri for p in pages for uri in (p.picture, p.heat)))
    place = {uri: i for i, uri in enumerate(pictures)}
    content = {
        "format": 1, "study": study, "reader": reader, "scale": SCALE, "items": [asdict(item) for item in ITEMS],
        "pictures": pictures,
        "pages": [
            {"map": p.map, "target": p.target, "prediction": p.prediction, "picture": place[p.picture],
             "heat": place[p.heat]}
            for p in pages
        ],
    }  # fmt: skip
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pellucid.readers"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    # Within a script element only "<" can end it or begin a comment.
    safe = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    return environment.get_template("form.html.j2").render(content=safe, n=len(pages), reader=reader, scale=SCALE)
