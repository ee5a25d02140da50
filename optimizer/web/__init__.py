"""Results as people see them: pictures, pages and reports, made from the shapes that the capabilities return."""
