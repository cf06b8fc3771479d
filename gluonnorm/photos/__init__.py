"""Everything that touches a picture as an array: files, resizing, the way into a network and the way back."""
