"""What a run will cost: its evaluations, tokens and money, before it starts."""
