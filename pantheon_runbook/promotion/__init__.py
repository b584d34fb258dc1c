"""What a promotion to production stands on, judged: values in, findings out. Only sealed bundles are read."""
