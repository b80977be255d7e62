"""Labelled photos that a person brings: a zip, uploads, a list of links, a rendered practice set.

``PhotoSet`` keeps them in a folder, ``find_near_duplicates`` and ``split_photos`` look at them
together, ``PhotoSet.write_split`` lays out what ``dataset.find_split`` reads. Names in zips and
lists are only ever shown: no path on this machine is made from them.
"""

from cracklib.intake.archive import zip_folders
from cracklib.intake.links import Link, LinkList, read_links
from cracklib.intake.names import recognise_label
from cracklib.intake.photo_set import Outcome, PhotoSet
from cracklib.intake.split import LabelledPhoto, Split, find_near_duplicates, split_photos

__all__ = [
    "LabelledPhoto",
    "Link",
    "LinkList",
    "Outcome",
    "PhotoSet",
    "Split",
    "find_near_duplicates",
    "read_links",
    "recognise_label",
    "split_photos",
    "zip_folders",
]
