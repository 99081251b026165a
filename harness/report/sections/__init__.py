"""One module a section of the page: a run in, plain texts and numbers for the templates out."""
