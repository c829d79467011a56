"""Everything around the product: pinned tools, test images, and the lab of real components."""
