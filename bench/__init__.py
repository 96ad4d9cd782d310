"""What is measured, how, and the plots. Every figure is a ratio measured in the same run."""
