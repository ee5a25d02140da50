"""Proxies from past experiments: what a proxy's effect says about the goal's, with shared noise taken out."""
