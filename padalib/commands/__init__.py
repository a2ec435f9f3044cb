"""What the command line does: run notebooks, redraw, compare, publish, make pages, report."""
