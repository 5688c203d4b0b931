"""Scene graphs: files, grammars and drawn scenes."""
