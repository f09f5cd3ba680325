"""Folders and data sets of any size, on all cores or on many machines."""

from fer.batch.run import FolderJob, FolderProgress, FolderReport, analyse_folder

__all__ = ["FolderJob", "FolderProgress", "FolderReport", "analyse_folder"]
