"""Style transfer: what an image looks like, given to another one."""
