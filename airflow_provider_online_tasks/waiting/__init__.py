"""Many waits, few requests, and how a run can end."""
