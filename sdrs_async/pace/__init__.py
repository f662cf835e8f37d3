"""How fast? Windows, what a server allows, the least time that work takes. Pure arithmetic: times are handed in."""
