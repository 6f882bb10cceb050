"""What the commands other than ``train`` do, a module for those that belong together; each is imported when called."""
