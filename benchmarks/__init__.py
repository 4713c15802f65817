"""Pellucid beside its peers, in one run: ratios, not seconds, since machines are shared and noisy."""
