"""The operators' page at `/admin`: every table to look at, and what the rules' services let an operator change."""
