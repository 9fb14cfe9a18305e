"""Calls models through the relay and straight at their upstream, one after another and at once."""
