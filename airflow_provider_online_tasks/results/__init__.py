"""Results of a run: read evaluations, count them, and check that they are complete."""
