"""Bakes: maps frame by frame, files that play without Furrow, previews and films."""
