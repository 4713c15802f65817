"""Can the map be believed? One metric a file, in folders by question; what they share is in ``evidence``."""
