"""The definitions of Flux and Argo CD."""
