"""Values from users and files, checked against the types that the code declares."""
