"""What the programs share and the library must not import: options, output, error messages."""
