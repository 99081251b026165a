"""Inference modes: the same detector, run in another way, with the same detections."""
