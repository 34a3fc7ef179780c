"""Linear models and the multilayer perceptron."""
