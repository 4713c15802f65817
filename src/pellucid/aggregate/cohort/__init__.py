"""What a cohort's region table says: means, graph, clusters, distributions, changes. Pure functions on the table."""
