"""What a promotion to production stands on, judged: values in, evidence and findings out; nothing here reads."""
