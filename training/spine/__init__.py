"""The spine of training: a stage's state, the loop that every stage runs in, and the machine it runs on."""
