"""Tasks and their runs: what is created, selected, evaluated, and how it ends."""
