"""The transfer set: views of images and their labels."""
