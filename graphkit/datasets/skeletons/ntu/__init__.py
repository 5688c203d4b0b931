"""NTU RGB+D: its raw files, who acts in them, and the data set."""
