"""What the command lines share that train networks to hold them against each other."""
