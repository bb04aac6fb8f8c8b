"""One model out of several: averages of weights, with their batch normalisation measured again."""
