"""Conventional recommendation models, one file each, their shared layers and trainer, and the reference models."""
