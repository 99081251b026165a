"""One module a figure: a run in, a plotly specification and the same numbers as a table out."""
