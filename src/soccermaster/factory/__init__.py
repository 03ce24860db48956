"""Raw broadcast video in, training clips out: stages, their records, and how they are run."""
