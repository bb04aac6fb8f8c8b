"""What people do with a dataset before they train on it: the verbs of ``segfit data``."""
