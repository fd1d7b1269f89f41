"""The drawings of the documents; tools/draw_figures.py writes them."""
