"""Detections over time: tracks, and the rules that clean, merge and describe them. Numpy alone."""
