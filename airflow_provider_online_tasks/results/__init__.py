"""What a run judged, and whether it is good enough."""
