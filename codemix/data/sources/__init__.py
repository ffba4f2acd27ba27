"""Sources in the form in which people have them, as records of one shape."""
