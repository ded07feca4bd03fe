#include <fcntl.h>
#include <stdio.h>  // renameat2
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "run/checkpoint.h"
#include "run/checkpoint_store.h"

namespace megalith {
namespace {

// "blocks.0.up[512:1024,0:768]": several slices of one tensor may stand in one file.
std::string slice_key(const std::string& name, const Extents& whole, const Extents& offset,
                      const Extents& shape) {
  if (shape == whole) return name;
  std::string key = name + "[";
  bool leading = true;
  for (std::size_t d = 0; d < 4; ++d) {
    if (leading && d < 3 && whole[d] == 1) continue;
    key += fmt::format("{}{}:{}", key.back() == '[' ? "" : ",", offset[d], offset[d] + shape[d]);
    leading = false;
  }
  return key + "]";
}

TensorDeclaration declaration(const std::string& key, const Tensor& tensor) {
  std::size_t first = 0;
  while (first < 3 && tensor.shape[first] == 1) ++first;
  return {key, tensor.dtype,
          std::vector<std::int64_t>(tensor.shape.begin() + static_cast<std::ptrdiff_t>(first),
                                    tensor.shape.end())};
}

[[noreturn]] void fail(const char* doing, const std::filesystem::path& path) {
  throw WorldFailed(
      fmt::format("{} {}: {}", doing, path.string(), std::strerror(errno)));  // NOLINT(concurrency-mt-unsafe)
}

// Each writer does its part and hears the texts of all, or the first failure of any.
std::vector<std::string> in_step(const GatherTexts& gather, const std::function<std::string()>& work) {
  std::string mine;
  try {
    mine = "+" + work();
  } catch (const std::exception& failure) {
    mine = std::string("-") + failure.what();
  }
  std::vector<std::string> texts = gather(mine);
  for (std::size_t w = 0; w < texts.size(); ++w) {
    std::string& text = texts[w];
    if (text.starts_with('-'))
      throw WorldFailed(texts.size() == 1 ? text.substr(1) : fmt::format("writer {}: {}", w, text.substr(1)));
    text.erase(0, 1);
  }
  return texts;
}

}  // namespace

CheckpointWriter::CheckpointWriter(std::filesystem::path checkpoints, std::int64_t step,
                                   CheckpointOptions options)
    : checkpoints_(std::move(checkpoints)), step_(step), options_(options) {
  MEGALITH_CHECK(step >= 0 && options.shard_bytes > 0 && options.chunk_bytes > 0);
  MEGALITH_CHECK(options.writer >= 0 && options.writer < options.writers);
  if (options.writer == 0)
    temporary_ = checkpoints_ / fmt::format("{}.tmp-{}", checkpoint_folder_name(step), ::getpid());
}

CheckpointWriter::~CheckpointWriter() {
  if (options_.writer != 0) return;
  std::error_code ignored;  // nothing left to tell: the failure that brought us here was thrown
  std::filesystem::remove_all(temporary_, ignored);
}

void CheckpointWriter::add(std::string name, Tensor tensor) {
  const Extents whole = tensor.shape;
  add_slice(std::move(name), whole, Extents{}, tensor);
}

void CheckpointWriter::add_slice(std::string name, const Extents& whole, const Extents& offset, Tensor box) {
  MEGALITH_CHECK(name != "__metadata__" && !name.empty());
  if (box.count() == 0 && box.shape != whole) return;
  const auto [place, fresh] = tensors_.try_emplace(name, CheckpointTensor{box.dtype, whole, {}});
  MEGALITH_CHECK(place->second.dtype == box.dtype && place->second.shape == whole, "{} is {}", name,
                 describe(box));
  MEGALITH_CHECK(fresh || box.shape != whole, "{} added twice", name);
  for (std::size_t d = 0; d < 4; ++d) {
    MEGALITH_CHECK(offset[d] >= 0 && offset[d] + box.shape[d] <= whole[d], "{}: slice {} at {}", name,
                   describe(box), offset[d]);
  }
  std::string key = slice_key(name, whole, offset, box.shape);
  parts_.push_back({std::move(name), std::move(key), offset, box});
}

void CheckpointWriter::add_file(std::string file_name, std::string text) {
  MEGALITH_CHECK(is_plain_name(file_name) && !file_name.ends_with(".safetensors"), "{}", file_name);
  MEGALITH_CHECK(texts_.emplace(std::move(file_name), std::move(text)).second, "a file twice");
}

// Headers, manifest and rounding to blocks are covered by a generous flat rate per part and file.
std::uint64_t CheckpointWriter::total_bytes() const {
  std::uint64_t bytes = 1 << 20;
  for (const Part& part : parts_) bytes += part.tensor.size_in_bytes() + 1024;
  for (const auto& [name, text] : texts_) bytes += text.size() + 8192;
  return bytes + bytes / options_.chunk_bytes * 16;
}

std::filesystem::path CheckpointWriter::finish(const CheckpointFacts& facts) {
  MEGALITH_CHECK(options_.writers == 1, "{} writers", options_.writers);
  std::map<std::string_view, std::int64_t> covered;
  for (const Part& part : parts_) covered[part.name] += part.tensor.count();
  for (const auto& [name, tensor] : tensors_) {
    MEGALITH_CHECK(covered[name] == count_of(tensor.shape), "{} of {} elements of {}", covered[name],
                   count_of(tensor.shape), name);
  }
  return finish_together(facts, [](const std::string& mine) { return std::vector<std::string>{mine}; });
}

std::filesystem::path CheckpointWriter::finish_together(const CheckpointFacts& facts,
                                                        const GatherTexts& gather) {
  MEGALITH_CHECK(facts.step == step_ && (!facts.ledger || facts.ledger->step == step_));
  const bool first = options_.writer == 0;
  try {
    const std::vector<std::string> bytes = in_step(gather, [&] { return std::to_string(total_bytes()); });
    MEGALITH_CHECK(std::cmp_equal(bytes.size(), options_.writers), "{} texts of {} writers", bytes.size(),
                   options_.writers);
    const std::vector<std::string> folder =
        in_step(gather, [&] { return first ? make_folder(bytes) : std::string(); });
    temporary_ = checkpoints_ / folder.front();
    const std::vector<std::string> parts = in_step(gather, [&] { return write_part(); });
    in_step(gather, [&] {
      if (first) put_together(facts, parts);
      return std::string();
    });
  } catch (...) {
    std::error_code ignored;
    if (first) std::filesystem::remove_all(temporary_, ignored);
    throw;
  }
  return checkpoints_ / checkpoint_folder_name(step_);
}

std::string CheckpointWriter::make_folder(const std::vector<std::string>& bytes_of_writers) {
  std::uint64_t sum = 0;
  for (const std::string& bytes : bytes_of_writers) {
    if (__builtin_add_overflow(sum, std::stoull(bytes), &sum)) sum = UINT64_MAX;
  }
  require_free_space(checkpoints_, sum);
  std::filesystem::remove_all(temporary_);  // left by a dead process that had our id
  std::filesystem::create_directory(temporary_);
  return temporary_.filename().string();
}

std::string CheckpointWriter::write_part() {
  ManifestPart part;
  write_shards(part);
  write_files(part);
  return to_text(part);
}

// The parts come from other processes, perhaps of other versions: they are read as strictly as a file.
void CheckpointWriter::put_together(const CheckpointFacts& facts, const std::vector<std::string>& parts) {
  Manifest manifest;
  manifest.facts = facts;
  manifest.chunk_bytes = options_.chunk_bytes;
  const auto or_fail = [](auto expected) {
    if (!expected) throw WorldFailed(to_string(expected.error()));
    return expected;
  };
  for (std::size_t w = 0; w < parts.size(); ++w) {
    const std::string where = fmt::format("what writer {} saved", w);
    or_fail(add_part(manifest, *or_fail(parse_manifest_part(parts[w], where, options_.chunk_bytes)), where));
  }
  or_fail(check_cover(manifest, "what the writers saved"));
  write_file_atomically(temporary_ / "manifest.json", to_text(manifest));  // syncs the folder, too
  put_in_place(checkpoints_ / checkpoint_folder_name(step_));
}

void CheckpointWriter::write_shards(ManifestPart& part) {
  part.tensors = tensors_;
  // Wide elements first: then every tensor is aligned to its element in the file, and can be used where it is
  // mapped.
  std::stable_sort(parts_.begin(), parts_.end(), [](const Part& a, const Part& b) {
    return size_of(a.tensor.dtype) > size_of(b.tensor.dtype);
  });
  std::size_t begin = 0;
  while (begin < parts_.size()) {
    std::uint64_t bytes = parts_[begin].tensor.size_in_bytes();
    std::size_t end = begin + 1;
    while (end < parts_.size() && bytes + parts_[end].tensor.size_in_bytes() <= options_.shard_bytes) {
      bytes += parts_[end++].tensor.size_in_bytes();
    }
    write_shard(part, std::span<const Part>(parts_).subspan(begin, end - begin));
    begin = end;
  }
}

void CheckpointWriter::write_shard(ManifestPart& written, std::span<const Part> parts) {
  const std::string writer_number = options_.writers == 1 ? "" : fmt::format("{:03}-", options_.writer);
  const std::string name = fmt::format("shard-{}{:05}.safetensors", writer_number, written.files.size() + 1);
  std::map<std::string, std::string> metadata{{"format", "megalith-checkpoint"},
                                              {"step", fmt::format("{}", step_)}};
  std::vector<TensorDeclaration> declarations;
  for (const Part& part : parts) {
    declarations.push_back(declaration(part.key, part.tensor));
    CheckpointTensor& tensor = written.tensors.find(part.name)->second;
    tensor.slices.push_back({written.files.size(), part.key, part.offset, part.tensor.shape});
    // A file should explain itself to other programs: which part of what its tensors are.
    if (part.key != part.name) {
      metadata["slice of " + part.key] = fmt::format("{} {}", part.name, describe(tensor.shape));
    }
  }
  SafetensorsWriter writer(temporary_ / name, declarations, metadata, options_.chunk_bytes);
  for (const Part& part : parts) writer.append(part.tensor);
  written.files.push_back({name, writer.finish()});
}

void CheckpointWriter::write_files(ManifestPart& part) {
  for (const auto& [name, text] : texts_) {
    DigestedFile file(temporary_ / name, options_.chunk_bytes);
    file.write(text.data(), text.size());
    part.files.push_back({name, file.finish()});
  }
}

void CheckpointWriter::put_in_place(const std::filesystem::path& final_folder) {
  const char* from = temporary_.c_str();
  if (std::filesystem::exists(final_folder)) {
    // The old checkpoint of this step and the new one change names at once: at no time is there none.
    if (::renameat2(AT_FDCWD, from, AT_FDCWD, final_folder.c_str(), RENAME_EXCHANGE) != 0) {
      const std::filesystem::path old =
          temporary_.string() + "-replaced";  // file systems without an exchange
      if (::rename(final_folder.c_str(), old.c_str()) != 0) fail("renaming", final_folder);
      if (::rename(from, final_folder.c_str()) != 0) fail("renaming", temporary_);
      std::filesystem::rename(old, temporary_);
    }
    sync_folder(checkpoints_);
    std::filesystem::remove_all(temporary_);
    return;
  }
  if (::rename(from, final_folder.c_str()) != 0) fail("renaming", temporary_);
  sync_folder(checkpoints_);
}

}  // namespace megalith
