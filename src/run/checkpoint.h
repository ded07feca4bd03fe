// A checkpoint is a folder, step-00001000/: manifest.json, safetensors files, and perhaps small text files (a
// tokenizer). It is written under a temporary name and renamed: what has the final name is complete. Nothing
// in it can execute anything.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/tensor.h"
#include "run/manifest.h"
#include "run/safetensors.h"

namespace megalith {

// An open, mapped checkpoint. Copies share the maps. Safe to read from several threads.
class Checkpoint {
 public:
  // Checks the manifest, the files' sizes, and every tensor's place; digests only of chunks that hold
  // headers. verify() checks the rest.
  static Expected<Checkpoint> open(const std::filesystem::path& folder);

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] const CheckpointFacts& facts() const { return manifest_.facts; }
  [[nodiscard]] const Manifest& manifest() const { return manifest_; }
  [[nodiscard]] const CheckpointTensor* find(std::string_view name) const;  // null when there is none

  // Reads every byte. Refuses with one line per damaged chunk: file, chunk, byte range.
  [[nodiscard]] Expected<void> verify() const;
  // From now on load() and load_slice() check the chunks that they read, each once, and refuse as verify()
  // does. For who trusts that the rest is sound.
  void check_what_is_read();

  // Copies the whole tensor. Refuses an unknown name, another dtype or another shape (leading 1s do not
  // count).
  Expected<void> load(std::string_view name, Tensor destination) const;
  // Copies the box at `offset` of destination's shape: what a rank needs of a tensor, however it was cut when
  // saved.
  Expected<void> load_slice(std::string_view name, const Extents& offset, Tensor destination) const;
  // The tensor where it lies in the map, without a copy: only when it is stored whole. Aligned to its
  // element.
  [[nodiscard]] std::optional<std::span<const std::byte>> in_place(std::string_view name) const;
  // A file that was put in with CheckpointWriter::add_file.
  [[nodiscard]] Expected<std::string_view> file_text(std::string_view file_name) const;

 private:
  struct Maps;
  struct CheckedChunks;
  // Of `count` bytes at `bytes` in a file's map.
  [[nodiscard]] Expected<void> check_chunks(std::size_t file, const std::byte* bytes,
                                            std::size_t count) const;

  std::filesystem::path folder_;
  Manifest manifest_;
  std::shared_ptr<const Maps> maps_;
  std::shared_ptr<CheckedChunks> checked_;  // null: nothing is checked
};

inline Expected<Checkpoint> open_checkpoint(const std::filesystem::path& folder) {
  return Checkpoint::open(folder);
}

// verify() for a folder that may be too damaged to open: names file and chunk wherever the manifest can be
// read.
Expected<void> verify_checkpoint(const std::filesystem::path& folder);

struct CheckpointOptions {
  std::uint64_t shard_bytes = std::uint64_t{2}
                              << 30;  // of tensor data per file; a larger tensor has its own file
  std::uint64_t chunk_bytes = DigestedFile::default_chunk_bytes;
  int writer = 0;   // which of
  int writers = 1;  // those that write this checkpoint together
};

// Every writer's text, in the order of writers: what they tell each other. Called by all of them equally
// often; whatever it throws ends the save.
using GatherTexts = std::function<std::vector<std::string>(const std::string& mine)>;

// Writes one checkpoint. Whatever fails throws WorldFailed, leaves nothing behind and touches no other
// checkpoint; so does destruction before finish(). May run on any one thread, beside the training of the next
// step.
//
// Several writers (ranks) write one checkpoint together: each adds the boxes that it holds and writes files
// of its own into one folder; writer 0 makes the folder, puts the parts together and gives it its name. Who
// is killed at any moment leaves at most a temporary folder of a dead process.
class CheckpointWriter {
 public:
  // `checkpoints` is the folder that the checkpoint's folder will stand in.
  CheckpointWriter(std::filesystem::path checkpoints, std::int64_t step, CheckpointOptions options = {});
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // The tensor's memory is read in finish(). REQUIRES: a name not added before, not "__metadata__".
  void add(std::string name, Tensor tensor);
  // A box of a tensor of shape `whole`; an empty one is left out. REQUIRES: finish() sees boxes that cover
  // the tensor exactly once, those of all writers together.
  void add_slice(std::string name, const Extents& whole, const Extents& offset, Tensor box);
  // A small file of its own beside the manifest. REQUIRES: is_plain_name(file_name), and one writer adds it.
  void add_file(std::string file_name, std::string text);

  // Checks the free space, writes, syncs, renames, and returns the folder. A checkpoint of the same step is
  // replaced. REQUIRES: facts.step is the step, and the ledger line's step where there is one.
  std::filesystem::path finish(const CheckpointFacts& facts);
  // The same by several writers: all of them call it, and all return the folder or throw the first failure of
  // any. The free space is checked for the sum. REQUIRES: of `facts`, which count from writer 0, all know the
  // step.
  std::filesystem::path finish_together(const CheckpointFacts& facts, const GatherTexts& gather);

 private:
  struct Part {
    std::string name;
    std::string key;
    Extents offset{};
    Tensor tensor;
  };
  [[nodiscard]] std::uint64_t total_bytes() const;
  std::string make_folder(const std::vector<std::string>& bytes_of_writers);
  std::string write_part();
  void write_shards(ManifestPart& part);
  void write_shard(ManifestPart& written, std::span<const Part> parts);
  void write_files(ManifestPart& part);
  void put_together(const CheckpointFacts& facts, const std::vector<std::string>& parts);
  void put_in_place(const std::filesystem::path& final_folder);

  std::filesystem::path checkpoints_;
  std::int64_t step_;
  CheckpointOptions options_;
  std::filesystem::path temporary_;  // known to others than writer 0 once it is made
  std::vector<Part> parts_;
  std::map<std::string, CheckpointTensor, std::less<>> tensors_;
  std::map<std::string, std::string> texts_;
};

}  // namespace megalith
