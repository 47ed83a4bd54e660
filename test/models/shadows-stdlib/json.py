OWN = "the own one"
