"""Super-resolution by MDSR (Lim et al., 2017): a network that magnifies no motion, for the removal tool (Appendix A.1)."""
