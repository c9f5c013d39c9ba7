"""What others write into a log, hand over, or ring a bell with: it spoils itself, and nothing else."""
