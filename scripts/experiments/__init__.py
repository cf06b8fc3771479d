"""Training runs that answer a question: which runs there are, how one is made, and their tables."""
