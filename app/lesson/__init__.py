"""The theory as a lesson: what a cut costs, on two weights that the reader drags and then on a real run."""
