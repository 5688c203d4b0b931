"""Who is near whom in a set of points: exact searches in plain torch and SciPy."""
