"""Tools of those who work on mimicnets: no stage imports them."""
