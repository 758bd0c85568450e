"""One tenant's job: the channels that it admits, and the verdict on those that are gone."""
