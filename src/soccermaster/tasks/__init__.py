"""One file per task: head, targets, loss, decode, metrics."""
