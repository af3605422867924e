"""Import-compatible faces for programs written for other libraries."""
