"""The ledger: what happened, kept in MLflow, with the locks beside it. The only code that imports mlflow."""
