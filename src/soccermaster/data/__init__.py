"""From raw files to batches: datasets, video, augmentation, collation; it knows no tasks."""
