// From text files to token files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "data/record_text.h"
#include "data/tokenizer/tokenizer.h"

namespace megalith {

struct BuildOptions {
  std::filesystem::path output_prefix;
  std::int64_t held_out_every = 20;  // of this many blocks or lines the last is held out; 0: none is
  std::int64_t block_bytes = 4096;   // 1..65536
  std::int64_t shard_tokens = 0;     // documents go to a new shard after so many tokens; 0: no shards
  int num_workers = 1;               // 1..1024; the same bytes are written with any number
  RecordRules rules;
  std::function<bool()> stop_requested;  // asked now and then, where it is set; true ends the build
};

struct BuildPart {
  std::int64_t bytes = 0;    // of text, as it was encoded
  std::int64_t records = 0;  // blocks of plain text and lines of JSON
  std::int64_t documents = 0;
  std::int64_t tokens = 0;  // with the end-of-document tokens
};

struct BuildSource {
  std::string name;
  std::int64_t documents = 0;
  std::int64_t tokens = 0;
};

// Balanced: bytes_read = kept_bytes + empty_bytes + quarantined_bytes + mark_bytes, and
// lines_read = lines_kept + lines_empty + lines_quarantined.
struct BuildReport {
  bool stopped = false;  // by stop_requested: nothing was written, and the rest is zero
  std::int64_t files = 0;
  std::int64_t bytes_read = 0;  // of the files' text, unpacked
  std::int64_t kept_bytes = 0;  // of lines of JSON the whole line
  std::int64_t empty_bytes = 0;
  std::int64_t quarantined_bytes = 0;
  std::int64_t mark_bytes = 0;  // byte order marks, which are dropped
  std::int64_t lines_read = 0;  // of JSON, as the next three
  std::int64_t lines_kept = 0;
  std::int64_t lines_empty = 0;
  std::int64_t lines_quarantined = 0;
  std::int64_t pairs = 0;             // of prompt and completion, among lines_kept
  std::int64_t quarantined_runs = 0;  // of bytes in plain text
  BuildPart training;
  BuildPart held_out;                // zeros when held_out_every is 0
  std::int64_t shards = 1;           // of training
  std::vector<BuildSource> sources;  // in the order in which they were met
};

// Cuts the files into records (record_reader.h), counted through all of them, of which every
// held_out_every-th that is kept is held out. A line of JSON is a document, a run of training blocks of one
// file is one, and each held-out block is one; a document ends with the end-of-document token where the
// tokenizer has one. Special tokens in the text are text. Writes PREFIX-train and PREFIX-held_out, or only
// PREFIX when nothing is held out, each with .bin, .idx, .meta.json and, where there are several sources or
// pairs, .documents; and PREFIX.quarantine.jsonl where something was left out. With shards these prefixes go
// on as token_file_names.h says. Equal inputs give equal bytes. Refused, and then nothing is written: damaged
// files, plain text with NUL bytes, options out of range, files without any text, and texts too short to hold
// out a record. Memory: a few megabytes a worker, four times the longest record, and 12 bytes for each
// document of the present shard. Throws WorldFailed.
Expected<BuildReport> build_token_files(std::span<const std::filesystem::path> files,
                                        const Tokenizer& tokenizer, const BuildOptions& options);

}  // namespace megalith
