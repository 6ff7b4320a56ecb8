"""The commands of `penstock` on a real server, and the store calls by id and by filter that they use."""
