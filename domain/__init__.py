"""The rules of Atelier: nouns, services, ports and errors. Knows the standard library only."""
