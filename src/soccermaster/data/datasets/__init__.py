"""Readers of the public datasets; each gives `Clip`s."""
