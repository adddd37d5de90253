"""A trained model to take away: its weights in a folder that timm, transformers or torch alone load."""
