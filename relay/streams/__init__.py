"""Resumable streams: made once, whoever reads them, and kept for a while after their end."""
