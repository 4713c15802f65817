"""Methods that weigh the maps of a layer."""
