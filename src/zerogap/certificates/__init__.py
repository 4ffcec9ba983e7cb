"""Certificates: the referees that turn networks and dual points into claims that hold, and the claims themselves."""
