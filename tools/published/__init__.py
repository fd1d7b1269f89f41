"""Published weights, tested and compared with what was published."""
