"""What detections and samples on disk say beyond the records: uncertainty, sizes, errors.

Nothing here needs a model, a GPU or torch, so that old runs can be read again.
"""
