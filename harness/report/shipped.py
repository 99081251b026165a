"""The page's own sections and figures, declared as anybody's."""
