"""Leaf mathematics anyone may import: payoffs and impact laws."""
