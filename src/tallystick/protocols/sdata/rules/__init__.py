"""The rules of agreement of SData: what is sent, what is applied, how digests move (spec 9). Pure."""
