"""What readers are asked of every map: four statements, each rated from 1 to 5."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.report.likert import SCALE


@dataclass(frozen=True)
class Item:
    """A statement that a reader agrees with or not.

    Attributes:
        name: the attribute, as in the checklist.
        statement: what the reader reads.
    """

    name: str
    statement: str


# The attributes are named after CLIX-M (brankovic2025clinician), which has relevance, coherence and actionability among
# its clinical attributes, and confidence among those of the decision. The statements are ours.
ITEMS = (
    Item("relevance", "The places that the map marks matter for what is explained."),
    Item("coherence", "The map agrees with what I see in the picture and with what I know of anatomy and disease."),
    Item("confidence", "With this map I would be more confident in judging whether the model is right."),
    Item("actionability", "The map would help me to decide what to do next (look again, measure, examine further)."),
)  # fmt: skip
NAMES = tuple(item.name for item in ITEMS)
LEVELS = tuple(range(1, len(SCALE) + 1))
