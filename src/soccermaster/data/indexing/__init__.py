"""The index of a dataset, what is wrong with its files, and the report about both."""
