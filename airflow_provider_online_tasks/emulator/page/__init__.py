"""The page at the URL of an emulator."""
