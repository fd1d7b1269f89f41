"""What knows nothing of networks: files written whole, images read upright."""
