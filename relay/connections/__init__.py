"""The callers' connections: how many there may be, and how they end."""
