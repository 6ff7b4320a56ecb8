"""What the build of the images runs inside of it; each file stands alone."""
