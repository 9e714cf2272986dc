"""What a live model is asked, by what it is about; `LiveModel` is all of it."""
