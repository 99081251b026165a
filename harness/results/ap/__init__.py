"""Detections scored again: matching, accumulation, bootstrap over images, kinds of errors."""
