"""Networks: teacher, MLP and CNN students, budgets, bottleneck absorption."""
