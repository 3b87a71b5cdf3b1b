"""The network and its routes as one self-contained SVG picture.

Pure but for ``gather``: what a gateway told goes in, text comes out. The same input gives the same picture, byte for
byte, so that two of them can be compared.
"""
