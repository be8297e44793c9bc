"""The pages of docs/ are compared with the code that they tell of."""
