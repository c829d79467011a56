"""What an instance's volumes are to be, how containers mount them, and when they are made and removed. Pure."""
