"""Lightning around the model. Knows the task contract and no particular task."""
