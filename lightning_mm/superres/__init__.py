"""Super-resolution by MDSR (Lim et al., 2017): the removal tool on a network for another task (Appendix A.1)."""
