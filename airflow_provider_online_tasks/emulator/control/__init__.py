"""The control plane: how tests look into an emulator and change what it does."""
