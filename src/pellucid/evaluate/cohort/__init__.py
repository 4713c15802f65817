"""Many cases together: methods compared, ranked, in strata; certainty against errors."""
