"""Images, boxes and videos."""
