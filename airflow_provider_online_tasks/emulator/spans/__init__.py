"""The spans an emulator holds, and the filters that select them."""
