"""The 767 labels of real X-rays: the view goes with pneumonia, as their page says, and the description finds it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from scipy.stats.contingency import association

import pellucid as pc
from pellucid import explore

pytestmark = pytest.mark.real


def test_the_view_is_told_as_a_shortcut_with_the_published_shares(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "chestxray_nih" / "labels_224.csv")
    assert len(table) == 767
    cases = [
        pc.Case(
            id=r["file"], inputs={"image": torch.zeros(1, 2, 2)}, truth=int(r["pneumonia"]), group=str(r["patient_id"]),
            meta={"age": r["age"], "sex": r["sex"], "view": r["view"]},
        )
        for r in table.to_dict("records")
    ]  # fmt: skip
    made = explore.cohort({"all": cases}, task="classification", classes=["No Finding", "Pneumonia"])
    columns = explore.columns_of(made)
    assert columns == {"age": "number", "sex": "levels", "view": "levels"}
    people = explore.people(made, {"view": "levels"}).set_index(["class", "level"])
    assert f"{people.loc[('No Finding', 'AP'), 'share']:.2f}" == "0.67"
    assert f"{people.loc[('Pneumonia', 'AP'), 'share']:.2f}" == "0.43"
    related = explore.associations(made, columns).set_index("column")
    view = related.loc["view"]
    assert view["value"] == pytest.approx(association(pd.crosstab(table["pneumonia"], table["view"]).to_numpy(), "cramer"))
    assert view["found"]
    assert view["patients"] == table["patient_id"].nunique()
    nothing = pd.DataFrame()
    notes = explore.standing_out(
        made, checks=explore.checks(made, nothing, cases), counts=explore.label_counts(made), pairs=nothing,
        associations=related.reset_index(), features=nothing, scores=nothing, regions=nothing, looked=0,
    )  # fmt: skip
    said = "\n".join(notes["sentence"])
    assert "view goes with Pneumonia: " in said
    assert "43 %" in said or "57 %" in said
