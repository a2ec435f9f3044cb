"""Runs, grids of runs, and where things lie on disk; nothing here knows of networks."""
