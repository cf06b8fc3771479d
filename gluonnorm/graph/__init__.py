"""Everything that rewrites or evaluates a traced graph: MXNet symbols in, MXNet symbols out."""
