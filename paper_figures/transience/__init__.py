"""Singh et al. (2023), the transience paper: in-context learning that emerges and fades."""
