// From text files to token files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "core/error.h"
#include "data/tokenizer/tokenizer.h"

namespace megalith {

struct BuildOptions {
  std::filesystem::path output_prefix;
  std::int64_t held_out_every = 20;  // of this many blocks the last is held out; 0: none is
  std::int64_t block_bytes = 4096;   // 1..65536
};

struct BuildPart {
  std::int64_t bytes = 0;  // of text
  std::int64_t blocks = 0;
  std::int64_t documents = 0;
  std::int64_t tokens = 0;  // with the end-of-document tokens
};

// bytes_read = training.bytes + held_out.bytes + mark_bytes.
struct BuildReport {
  std::int64_t files = 0;
  std::int64_t bytes_read = 0;
  std::int64_t mark_bytes = 0;  // byte order marks, which are dropped
  BuildPart training;
  BuildPart held_out;  // zeros when held_out_every is 0
};

// Cuts the files into blocks (text_blocks.h), counted through all of them. A run of training blocks of one
// file is a document, and each held-out block is one; a document ends with the end-of-document token where
// the tokenizer has one. Blocks are encoded one by one, special tokens in them as text. Writes PREFIX-train
// and PREFIX-held_out, or only PREFIX when nothing is held out, each with .bin, .idx and .meta.json. Equal
// inputs give equal bytes. Refused: files that are no text, options out of range, and texts too short to hold
// out a block. Memory: that of a block and the indexes. Throws WorldFailed.
Expected<BuildReport> build_token_files(std::span<const std::filesystem::path> files,
                                        const Tokenizer& tokenizer, const BuildOptions& options);

}  // namespace megalith
