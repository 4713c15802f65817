"""Reading and writing: pictures, volumes, tables and maps. Values stay in the file's units, the grid is kept."""

from pellucid.io.dicom import read_dicom
from pellucid.io.dicom_series import read_series
from pellucid.io.files import atomic
from pellucid.io.image import Image
from pellucid.io.maps import SavedMaps, load_maps, save_maps
from pellucid.io.nifti import read_nifti, write_nifti
from pellucid.io.raster import read_raster, write_png
from pellucid.io.reader import read
from pellucid.io.table import read_table, write_table

__all__ = [
    "Image",
    "SavedMaps",
    "atomic",
    "load_maps",
    "read",
    "read_dicom",
    "read_nifti",
    "read_raster",
    "read_series",
    "read_table",
    "save_maps",
    "write_nifti",
    "write_png",
    "write_table",
]
