"""The search for hyperparameters: its ranges, its database, its trials and its report."""
