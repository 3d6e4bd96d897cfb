"""Networks that exist for training only; the ones that also run at inference are in backend/."""
