"""`flask streamy top`: what all processes of an app do, in a terminal."""
