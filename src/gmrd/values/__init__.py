"""Values that people and files give, held against the types that the code declares."""
