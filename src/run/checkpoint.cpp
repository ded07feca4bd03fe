#include "run/checkpoint.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <future>
#include <utility>
#include <vector>

#include "core/digest.h"
#include "core/file.h"
#include "core/thread_pool.h"
#include "run/json_fields.h"

namespace megalith {
namespace {

constexpr std::size_t kMaxManifestBytes = std::size_t{256} << 20;

Expected<Manifest> read_manifest_of(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "manifest.json";
  const Expected<std::string> text = read_file(path, kMaxManifestBytes);
  if (!text) return tl::unexpected(text.error());
  return parse_manifest(*text, path.string());
}

Expected<MappedFile> map_file(const std::filesystem::path& folder, const CheckpointFile& file) {
  Expected<MappedFile> mapped = MappedFile::open(folder / file.name);
  if (!mapped) return mapped;
  if (mapped->bytes().size() == file.content.bytes) return mapped;
  return refuse({.where = (folder / file.name).string(),
                 .found = fmt::format("{} bytes", mapped->bytes().size()),
                 .allowed = fmt::format("{}, as the manifest says", file.content.bytes),
                 .nearest = ""});
}

std::uint64_t digest_of_chunk(std::span<const std::byte> bytes, std::uint64_t chunk_bytes,
                              std::uint64_t chunk) {
  const std::uint64_t begin = chunk * chunk_bytes;
  return digest_bytes(bytes.data() + begin, std::min<std::uint64_t>(chunk_bytes, bytes.size() - begin));
}

// Notes a chunk whose digest is not the manifest's.
void check_chunk(const std::filesystem::path& path, std::span<const std::byte> bytes,
                 const CheckpointFile& file, std::uint64_t chunk_bytes, std::uint64_t chunk,
                 Refusals& damage) {
  const std::uint64_t begin = chunk * chunk_bytes;
  const std::uint64_t size = std::min<std::uint64_t>(chunk_bytes, bytes.size() - begin);
  const std::uint64_t actual = digest_of_chunk(bytes, chunk_bytes, chunk);
  if (actual == file.content.digests[chunk]) return;
  damage.push_back({.where = path.string(),
                    .found = fmt::format("chunk {} (bytes {} to {}) with digest {}", chunk, begin,
                                         begin + size, to_hex(actual)),
                    .allowed = to_hex(file.content.digests[chunk]),
                    .nearest = ""});
}

// One refusal per damaged chunk among the first `chunks`.
Refusals damaged_chunks(const std::filesystem::path& path, std::span<const std::byte> bytes,
                        const CheckpointFile& file, std::uint64_t chunk_bytes, std::uint64_t chunks) {
  Refusals damage;
  for (std::uint64_t c = 0; c < std::min<std::uint64_t>(chunks, file.content.digests.size()); ++c)
    check_chunk(path, bytes, file, chunk_bytes, c, damage);
  return damage;
}

// Every chunk, on several threads; what is damaged is told in the order of chunks. Not a ThreadPool, which
// sets the floating-point mode of who checks a checkpoint and computes nothing.
Refusals damage_in_file(const std::filesystem::path& folder, const CheckpointFile& file,
                        std::uint64_t chunk_bytes) {
  constexpr std::size_t kMostThreads = 16;  // that memory can feed
  const Expected<MappedFile> mapped = map_file(folder, file);
  if (!mapped) return mapped.error();
  const std::span<const std::byte> bytes = mapped->bytes();
  std::vector<std::uint8_t> sound(file.content.digests.size());
  std::atomic<std::size_t> next{0};
  const auto check = [&] {
    for (std::size_t chunk; (chunk = next.fetch_add(1, std::memory_order_relaxed)) < sound.size();)
      sound[chunk] = digest_of_chunk(bytes, chunk_bytes, chunk) == file.content.digests[chunk] ? 1 : 0;
  };
  const auto usable = static_cast<std::size_t>(usable_processors());
  std::vector<std::future<void>> others;
  for (std::size_t i = 1; i < std::min({usable, kMostThreads, sound.size()}); ++i)
    others.push_back(std::async(std::launch::async, check));
  check();
  for (std::future<void>& other : others) other.get();
  Refusals damage;
  for (std::size_t chunk = 0; chunk < sound.size(); ++chunk) {
    if (sound[chunk] == 0) check_chunk(folder / file.name, bytes, file, chunk_bytes, chunk, damage);
  }
  return damage;
}

bool is_safetensors(const CheckpointFile& file) {
  return file.name.ends_with(".safetensors");
}

// Row-major distance of neighbours in each dimension, in elements.
Extents dense_strides(const Extents& shape) {
  return {shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1};
}

// The part of `slice` that lies in the box of destination's shape at `offset`.
struct Overlap {
  Extents begin{}, end{};
  bool empty = false;
};
Overlap overlap_of(const StoredSlice& slice, const Extents& offset, const Tensor& destination) {
  Overlap overlap;
  for (std::size_t d = 0; d < 4; ++d) {
    overlap.begin[d] = std::max(slice.offset[d], offset[d]);
    overlap.end[d] = std::min(slice.offset[d] + slice.shape[d], offset[d] + destination.shape[d]);
    overlap.empty = overlap.empty || overlap.begin[d] >= overlap.end[d];
  }
  return overlap;
}

// Where an element of the whole tensor stands in a slice of it.
std::size_t place_in(const StoredSlice& slice, const Extents& element) {
  const Extents strides = dense_strides(slice.shape);
  std::int64_t place = 0;
  for (std::size_t d = 0; d < 4; ++d) place += (element[d] - slice.offset[d]) * strides[d];
  return static_cast<std::size_t>(place);
}

void copy_overlap(const StoredSlice& slice, const std::byte* stored, const Extents& offset,
                  const Overlap& overlap, const Tensor& destination) {
  const auto& [begin, end, empty] = overlap;
  const std::size_t element = size_of(destination.dtype);
  const auto run_bytes = static_cast<std::size_t>(end[3] - begin[3]) * element;
  const auto& to_shape = destination.shape;
  for (std::int64_t i = begin[0]; i < end[0]; ++i) {
    for (std::int64_t j = begin[1]; j < end[1]; ++j) {
      for (std::int64_t k = begin[2]; k < end[2]; ++k) {
        const std::int64_t row =
            ((i - offset[0]) * to_shape[1] + j - offset[1]) * to_shape[2] + k - offset[2];
        const std::int64_t to = row * destination.row_stride + begin[3] - offset[3];
        std::memcpy(static_cast<std::byte*>(destination.data) + static_cast<std::size_t>(to) * element,
                    stored + place_in(slice, {i, j, k, begin[3]}) * element, run_bytes);
      }
    }
  }
}

}  // namespace

struct Checkpoint::Maps {
  struct File {
    MappedFile mapped;
    SafetensorsView view;  // empty for files that are not safetensors
  };
  std::vector<File> files;
};

// Chunks that were found sound, by file.
struct Checkpoint::CheckedChunks {
  std::deque<std::vector<std::atomic<bool>>> files;
};

namespace {

// The header's chunks are checked before it is read, so that damage is named by chunk and not by its symptom.
Expected<SafetensorsView> read_header(const std::filesystem::path& path, std::span<const std::byte> bytes,
                                      const CheckpointFile& file, std::uint64_t chunk_bytes) {
  const std::uint64_t header_end =
      std::min(SafetensorsView::claimed_header_end(bytes), 8 + SafetensorsView::max_header_bytes);
  Refusals damage = damaged_chunks(path, bytes, file, chunk_bytes, header_end / chunk_bytes + 1);
  if (!damage.empty()) return refuse(std::move(damage));
  return SafetensorsView::parse(bytes, path.string());
}

// The manifest and the file's own header must tell the same of a slice.
bool fits(const StoredTensor* stored, const StoredSlice& slice, DType dtype) {
  if (stored == nullptr || stored->type != stored_type(dtype)) return false;
  Extents shape{1, 1, 1, 1};
  if (stored->shape.size() > 4) return false;
  for (std::size_t d = 0; d < stored->shape.size(); ++d) {
    shape[4 - stored->shape.size() + d] = static_cast<std::int64_t>(stored->shape[d]);
  }
  return shape == slice.shape;
}

}  // namespace

Expected<Checkpoint> Checkpoint::open(const std::filesystem::path& folder) {
  Expected<Manifest> manifest = read_manifest_of(folder);
  if (!manifest) return tl::unexpected(std::move(manifest).error());
  auto maps = std::make_shared<Maps>();
  Refusals problems;
  const auto note = [&](Refusals more) { problems.insert(problems.end(), more.begin(), more.end()); };
  for (const CheckpointFile& file : manifest->files) {
    Maps::File& open_file = maps->files.emplace_back();
    Expected<MappedFile> mapped = map_file(folder, file);
    if (!mapped) {
      note(mapped.error());
      continue;
    }
    open_file.mapped = std::move(*mapped);
    if (!is_safetensors(file)) continue;
    Expected<SafetensorsView> view =
        read_header(folder / file.name, open_file.mapped.bytes(), file, manifest->chunk_bytes);
    if (view) {
      open_file.view = std::move(*view);
    } else {
      note(view.error());
    }
  }
  if (!problems.empty()) return refuse(std::move(problems));
  for (const auto& [name, tensor] : manifest->tensors) {
    for (const StoredSlice& slice : tensor.slices) {
      if (fits(maps->files[slice.file].view.find(slice.key), slice, tensor.dtype)) continue;
      return refuse({.where = (folder / manifest->files[slice.file].name).string(),
                     .found = "no such tensor, or one of another dtype or shape",
                     .allowed = fmt::format("{} as {} {}", in_quotes(slice.key), name_of(tensor.dtype),
                                            describe(slice.shape)),
                     .nearest = ""});
    }
  }
  Checkpoint checkpoint;
  checkpoint.folder_ = folder;
  checkpoint.manifest_ = std::move(*manifest);
  checkpoint.maps_ = std::move(maps);
  return checkpoint;
}

const CheckpointTensor* Checkpoint::find(std::string_view name) const {
  const auto place = manifest_.tensors.find(name);
  return place == manifest_.tensors.end() ? nullptr : &place->second;
}

Expected<void> Checkpoint::verify() const {
  return verify_checkpoint(folder_);
}

Expected<void> Checkpoint::load(std::string_view name, Tensor destination) const {
  const CheckpointTensor* tensor = find(name);
  if (tensor != nullptr && tensor->shape != destination.shape) {
    return refuse({.where = folder_.string() + " tensor " + in_quotes(name),
                   .found = "shape " + describe(tensor->shape),
                   .allowed = "shape " + describe(Extents(destination.shape)),
                   .nearest = ""});
  }
  return load_slice(name, Extents{}, destination);
}

Expected<void> Checkpoint::load_slice(std::string_view name, const Extents& offset,
                                      Tensor destination) const {
  const std::string where = folder_.string() + " tensor " + in_quotes(name);
  const CheckpointTensor* tensor = find(name);
  if (tensor == nullptr) {
    const auto next = manifest_.tensors.lower_bound(name);
    return refuse(
        {.where = where,
         .found = "no such tensor",
         .allowed = fmt::format("one of the {} tensors in the checkpoint", manifest_.tensors.size()),
         .nearest = next == manifest_.tensors.end() ? "" : next->first});
  }
  if (tensor->dtype != destination.dtype) {
    return refuse({.where = where,
                   .found = name_of(tensor->dtype),
                   .allowed = name_of(destination.dtype),
                   .nearest = ""});
  }
  for (std::size_t d = 0; d < 4; ++d) {
    if (offset[d] < 0 || offset[d] > tensor->shape[d] ||
        destination.shape[d] > tensor->shape[d] - offset[d]) {
      return refuse({.where = where,
                     .found = "shape " + describe(tensor->shape),
                     .allowed = fmt::format("one that holds {} at dimension {} offset {}",
                                            describe(Extents(destination.shape)), d, offset[d]),
                     .nearest = ""});
    }
  }
  for (const StoredSlice& slice : tensor->slices) {
    const Overlap overlap = overlap_of(slice, offset, destination);
    if (overlap.empty) continue;
    const std::byte* stored = maps_->files[slice.file].view.find(slice.key)->bytes.data();
    const std::size_t element = size_of(tensor->dtype);
    const std::size_t first = place_in(slice, overlap.begin) * element;
    Extents last = overlap.end;
    for (std::int64_t& coordinate : last) --coordinate;
    const std::size_t end = (place_in(slice, last) + 1) * element;
    if (Expected<void> sound = check_chunks(slice.file, stored + first, end - first); !sound) return sound;
    copy_overlap(slice, stored, offset, overlap, destination);
  }
  return {};
}

void Checkpoint::check_what_is_read() {
  checked_ = std::make_shared<CheckedChunks>();
  for (const CheckpointFile& file : manifest_.files)
    checked_->files.emplace_back(file.content.digests.size());
}

Expected<void> Checkpoint::check_chunks(std::size_t file, const std::byte* bytes, std::size_t count) const {
  if (!checked_) return {};
  const std::span<const std::byte> map = maps_->files[file].mapped.bytes();
  const CheckpointFile& described = manifest_.files[file];
  const std::uint64_t chunk_bytes = manifest_.chunk_bytes;
  const auto first = static_cast<std::uint64_t>(bytes - map.data());
  Refusals damage;
  for (std::uint64_t c = first / chunk_bytes; c * chunk_bytes < first + count; ++c) {
    std::atomic<bool>& sound = checked_->files[file][c];
    if (sound.load(std::memory_order_relaxed)) continue;
    check_chunk(folder_ / described.name, map, described, chunk_bytes, c, damage);
    sound.store(damage.empty(), std::memory_order_relaxed);
  }
  if (!damage.empty()) return refuse(std::move(damage));
  return {};
}

std::optional<std::span<const std::byte>> Checkpoint::in_place(std::string_view name) const {
  const CheckpointTensor* tensor = find(name);
  if (tensor == nullptr || tensor->slices.size() != 1) return std::nullopt;
  const std::span<const std::byte> bytes =
      maps_->files[tensor->slices[0].file].view.find(tensor->slices[0].key)->bytes;
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % size_of(tensor->dtype) != 0) return std::nullopt;
  return bytes;
}

Expected<std::string_view> Checkpoint::file_text(std::string_view file_name) const {
  for (std::size_t f = 0; f < manifest_.files.size(); ++f) {
    if (manifest_.files[f].name == file_name) return maps_->files[f].mapped.text();
  }
  return refuse({.where = folder_.string(),
                 .found = "no file " + in_quotes(file_name),
                 .allowed = "it",
                 .nearest = ""});
}

Expected<void> verify_checkpoint(const std::filesystem::path& folder) {
  const Expected<Manifest> manifest = read_manifest_of(folder);
  if (!manifest) return tl::unexpected(manifest.error());
  Refusals damage;
  for (const CheckpointFile& file : manifest->files) {
    const Refusals found = damage_in_file(folder, file, manifest->chunk_bytes);
    damage.insert(damage.end(), found.begin(), found.end());
  }
  if (!damage.empty()) return refuse(std::move(damage));
  // Sound bytes may still be a set of files that do not belong together.
  const Expected<Checkpoint> opened = Checkpoint::open(folder);
  if (!opened) return tl::unexpected(opened.error());
  return {};
}

}  // namespace megalith
