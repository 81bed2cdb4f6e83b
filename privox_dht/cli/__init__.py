"""What the programs share and the library must not know: their streams."""
