"""What is measured, how, and the plots: `vmcoredd bench`. Every figure is a ratio of one run."""
