"""Whose turn is it, and what does a reply mean for its target? The loop and the plain state that it reads."""
