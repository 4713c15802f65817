"""What a data set is like before anything is trained: pure functions from cases to tables."""

from pellucid.explore.associations import associations
from pellucid.explore.cohort import Cohort, cohort
from pellucid.explore.compartments import compartments
from pellucid.explore.densities import violins
from pellucid.explore.intensity import common_edges, histograms, shares
from pellucid.explore.labels import cooccurrence, label_counts
from pellucid.explore.lesions import cover, region_rows
from pellucid.explore.montage import montage
from pellucid.explore.notes import standing_out
from pellucid.explore.people import columns_of, people
from pellucid.explore.pictures import picture_rows
from pellucid.explore.scores import scores
from pellucid.explore.sizes import checks
from pellucid.explore.tables import correlations, features, table_values

__all__ = [
    "Cohort",
    "associations",
    "checks",
    "cohort",
    "columns_of",
    "common_edges",
    "compartments",
    "cooccurrence",
    "correlations",
    "cover",
    "features",
    "histograms",
    "label_counts",
    "montage",
    "people",
    "picture_rows",
    "region_rows",
    "scores",
    "shares",
    "standing_out",
    "table_values",
    "violins",
]  # fmt: skip
