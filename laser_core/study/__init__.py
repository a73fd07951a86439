"""Studies: a grid of cells, computed where missing by the runner, kept in the result store, summed up with intervals."""
