// manifest.json of a checkpoint: what the checkpoint is, which files it has with the digests of their chunks,
// and where in them each tensor lies. docs/formats.md has the layout. The text ends with a digest of all
// before it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/tensor.h"
#include "run/digested_file.h"
#include "run/ledger.h"

namespace megalith {

using Extents = std::array<std::int64_t, 4>;  // as Tensor::shape: leading 1s where there are fewer dimensions

std::int64_t count_of(const Extents& shape);
std::string describe(const Extents& shape);  // "1024x768", without leading 1s

// A step of a run, besides the tensors.
struct CheckpointFacts {
  std::int64_t step = 0;                     // steps done
  std::string config;                        // the frozen config, TOML text
  std::string numerics;                      // to_string(NumericsProfile)
  std::int64_t next_sample = 0;              // index of the first sample that no step has read
  std::int64_t tokens_seen = 0;              // read by all steps so far
  std::optional<LedgerLine> ledger;          // of `step`; none at step 0
  std::map<std::string, std::string> notes;  // whatever else a room wants back as it was
};

struct CheckpointFile {
  std::string name;  // plain, beside manifest.json
  FileDigests content;
};

// One box of a logical tensor, stored under `key` in a safetensors file.
struct StoredSlice {
  std::size_t file = 0;  // index into Manifest::files
  std::string key;
  Extents offset{};
  Extents shape{};
};

// A logical tensor. Its slices cover it exactly once.
struct CheckpointTensor {
  DType dtype = DType::f32;
  Extents shape{};
  std::vector<StoredSlice> slices;
};

struct Manifest {
  CheckpointFacts facts;
  std::uint64_t chunk_bytes = DigestedFile::default_chunk_bytes;
  std::vector<CheckpointFile> files;
  std::map<std::string, CheckpointTensor, std::less<>> tensors;
};

// What one of several writers of a checkpoint has written; slices count its own files.
struct ManifestPart {
  std::vector<CheckpointFile> files;
  std::map<std::string, CheckpointTensor, std::less<>> tensors;
};

std::string to_text(const ManifestPart& part);
// Refuses what parse_manifest refuses, but for boxes that leave elements to other writers.
Expected<ManifestPart> parse_manifest_part(std::string_view text, const std::string& where,
                                           std::uint64_t chunk_bytes);
// Refuses a part that contradicts those put in before: another shape or type of a tensor, a file twice.
Expected<void> add_part(Manifest& manifest, ManifestPart part, const std::string& where);
// Refuses every tensor whose boxes overlap or leave elements out.
Expected<void> check_cover(const Manifest& manifest, const std::string& where);

std::string to_text(const Manifest& manifest);
// Refuses a text that is damaged, of another format or version, or whose parts contradict each other.
Expected<Manifest> parse_manifest(std::string_view text, const std::string& where);

// A name that stays in its folder: letters, digits, '.', '_', '-', not beginning with '.'.
bool is_plain_name(std::string_view name);

}  // namespace megalith
