"""Check results against rules: statistics, verdict and report."""
