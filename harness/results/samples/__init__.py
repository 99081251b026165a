"""Series of repeated measurements: percentiles, intervals, autocorrelation."""
