"""Cards of data sets, and what finds, downloads, checks and reads their files."""
