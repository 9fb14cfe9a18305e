"""What a request may spend of its key's and its token's limits."""
