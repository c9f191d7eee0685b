"""What an explanation gives: tensors, ledger, pictures, files."""
