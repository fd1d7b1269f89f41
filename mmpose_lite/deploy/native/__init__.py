"""Networks compiled ahead of time to one library each, without any engine.

An engine's cost per operator, its reordering of maps and its copies weigh more than
the arithmetic of a light network. Here a network becomes a list of calls in C++ on maps
with channels last: views instead of copies, sums and gates within the convolutions, and
one arena for all maps.
"""
