"""Photos as arrays: files, resizing, boxes, the way into a network and the way back out of it.

This room needs NumPy and Pillow, and no MXNet.
"""
