"""Still pictures, matplotlib figures, offline pages."""
