"""The published table of Agg²Exp, 32 patients × 647 columns: what it gives, and that nothing of it is lost."""

from __future__ import annotations

import pandas as pd
import pytest

import pellucid as pc
from pellucid.aggregate.wide import to_wide

pytestmark = pytest.mark.real
NAME = "tsv2_test_aggregated_sg_explanations_with_dice.csv"


@pytest.fixture(scope="module")
def path(shared_data):
    return shared_data / "agg2exp" / NAME


@pytest.fixture(scope="module")
def published(path):
    return pc.load_region_table(path)


def test_there_and_back_to_the_last_digit(path, published):
    wide = to_wide(published)
    raw = pd.read_csv(path)
    assert list(wide.columns) == list(raw.columns)
    assert wide.shape == (32, 647)
    pd.testing.assert_frame_equal(wide, raw, check_exact=True, check_dtype=False)
    written = wide.to_csv(index=False, lineterminator="\n")
    assert written == path.read_text(encoding="utf-8").replace("\r\n", "\n")
