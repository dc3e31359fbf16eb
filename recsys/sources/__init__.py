"""Candidate sources: what finds a list for those who have none, from what is known before its moment."""
