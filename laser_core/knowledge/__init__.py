"""The language model as a generator and encoder of features for conventional models."""
