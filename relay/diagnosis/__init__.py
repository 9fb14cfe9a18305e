"""Asks the relay through its public address, as a caller and as a browser would, and takes the times."""
