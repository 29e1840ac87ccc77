"""What a scorer does to known pictures: degradations, responses, upscales, and the gradient by the pixels."""
