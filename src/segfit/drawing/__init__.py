"""How everything looks that segfit draws: figures, colours, the places of labels, and pictures in pages."""
