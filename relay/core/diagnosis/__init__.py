"""From what was measured through the public address to the culprit, in plain words."""
