"""What stays right when processes and services die in the middle of the work: real ones, killed for real."""
