"""Training: one algorithm for every kind of neuron and of arrangement (``routes``), and what they share."""
