"""Everything that rewrites a traced graph: MXNet symbols in, MXNet symbols out."""
