"""Answers that need more than one task, or a whole match."""
