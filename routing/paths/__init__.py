"""Paths over numbered nodes: the graph as arrays, distances, the k best simple paths, and disjoint ones."""
