"""One module per section of the page: `build(run)` -> its markup, or None."""
