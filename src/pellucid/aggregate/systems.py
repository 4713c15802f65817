"""To which system of the body does a class belong? For colours, and for an order that a reader knows."""

from __future__ import annotations

import re
from collections.abc import Mapping

SYSTEMS = (
    "cardiovascular", "respiratory", "digestive", "urinary and genital", "glands and lymph", "nervous", "muscles",
    "skeleton", "background", "other",
)  # fmt: skip
# Whole words of a name, looked for in this order: the classes of TotalSegmentator (total, 2.x), and their plain names.
_WORDS: tuple[tuple[str, str], ...] = (
    ("background", "background"),
    ("nervous", "brain|spinal cord|nerve"),
    ("muscles", "autochthon|gluteus|iliopsoas|muscles?|psoas"),
    (
        "skeleton",
        "spine|vertebra|vertebrae|vertebraes|ribs?|sternum|costal cartilages?|clavicula|clavicle|scapula|humerus|femur|"
        "hip|sacrum|skull|bones?|patella|tibia|fibula",
    ),
    (
        "cardiovascular",
        "heart|aorta|atrial|atrium|ventricle|myocardium|vena|artery|vein|veins|trunk|carotid|vessels?",
    ),
    ("respiratory", "lungs?|trachea|bronchus|bronchi|airways?|pleura|pleural"),
    ("glands and lymph", "thyroid|adrenal|spleen|thymus|lymph"),
    ("digestive", "liver|gallbladder|stomach|pancreas|esophagus|oesophagus|bowel|duodenum|colon|rectum"),
    ("urinary and genital", "kidneys?|bladder|ureter|prostate|uterus|ovary"),
)


def system_of(name: str, *, extra: Mapping[str, str] | None = None) -> str:
    """The system of a class, ``"other"`` if its name says nothing.

    Args:
        name: as in the table; underscores and capitals do not matter.
        extra: class to system, for names that are not known or belong elsewhere.

    Example:
        >>> system_of("lung_lower_lobe_left"), system_of("portal_vein_and_splenic_vein"), system_of("nodule")
        ('respiratory', 'cardiovascular', 'other')
    """
    if extra and name in extra:
        return extra[name]
    plain = re.sub(r"[\s_\-]+", " ", name.lower())
    for system, words in _WORDS:
        if re.search(rf"\b(?:{words})\b", plain):
            return system
    return "other"
