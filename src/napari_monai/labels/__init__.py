"""Pure functions on label arrays."""
