"""Losses: arrays and callables in, arrays out."""
