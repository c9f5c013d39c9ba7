"""What is known of each server: one file for the peculiarities of one."""
