"""Never two for one: the one run, and the one task, of an operator execution."""
