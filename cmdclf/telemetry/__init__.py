"""Process events: one schema, one reader per log format, and the lake where they lie by day."""

from cmdclf.telemetry.identity import command_id, command_ids
from cmdclf.telemetry.ingest import IngestReport, ingest, ingest_file, log_files
from cmdclf.telemetry.lake import Lake
from cmdclf.telemetry.readers import READERS, Reader, ReadOptions, Rejected, Skipped, detect_format
from cmdclf.telemetry.schema import MAX_LINE_BYTES, PLATFORMS, PROCESS_EVENT, clean_array, clean_text

__all__ = [
    "MAX_LINE_BYTES",
    "PLATFORMS",
    "PROCESS_EVENT",
    "READERS",
    "IngestReport",
    "Lake",
    "ReadOptions",
    "Reader",
    "Rejected",
    "Skipped",
    "clean_array",
    "clean_text",
    "command_id",
    "command_ids",
    "detect_format",
    "ingest",
    "ingest_file",
    "log_files",
]
