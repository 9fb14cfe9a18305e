"""The relay you put between a browser and an LLM: one file per room, and `exchange.py` walks through them."""
