"""Attribution in, Attribution out: what changes a map after it was made."""
