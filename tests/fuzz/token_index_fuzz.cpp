// Any bytes as the index of a token file: refused, or every token belongs to the document that says so.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/file.h"
#include "data/dataset.h"
#include "data/token_file.h"

namespace {

namespace fs = std::filesystem;
using megalith::TokenFile;
using megalith::TokenRange;
using megalith::TokenSet;

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "megalith-fuzz-XXXXXX").string();
    MEGALITH_CHECK(::mkdtemp(name.data()) != nullptr, "{}", name);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  fs::path path;
};

void write(const fs::path& path, const void* data, std::size_t size) {
  megalith::OutputFile file(path);
  file.write(data, size);
  file.close();
}

void must_add_up(const TokenFile& file) {
  std::int64_t at = 0;
  for (std::int64_t d = 0; d < file.num_documents(); ++d) {
    const TokenRange range = file.document(d);
    MEGALITH_CHECK(range.begin == at && range.count >= 0);
    for (; at < range.begin + range.count; ++at) MEGALITH_CHECK(file.document_of(at) == d);
  }
  MEGALITH_CHECK(at == file.num_tokens());
}

void must_train_on_every_token(const std::shared_ptr<const TokenSet>& file, std::int64_t sequence) {
  const auto size = static_cast<std::size_t>(sequence);
  std::vector<std::int32_t> ids(size), targets(size), start(size);
  std::vector<std::uint8_t> mask(size);
  const auto dataset = megalith::make_token_dataset(file, {.sequence = sequence, .shuffle_seed = 1});
  std::int64_t trained = 0;
  for (std::int64_t i = 0; i < dataset->samples_per_epoch(); ++i) {
    dataset->fill(i, ids.data(), targets.data(), mask.data(), start.data());
    for (const std::uint8_t one : mask) trained += one;
  }
  MEGALITH_CHECK(trained == std::max<std::int64_t>(file->num_tokens() - 1, 0));
  const auto masked = megalith::make_token_dataset(file, {.sequence = sequence, .document_masks = true});
  for (std::int64_t i = 0; i < masked->samples_per_epoch(); ++i) {
    masked->fill(i, ids.data(), targets.data(), mask.data(), start.data());
    for (std::size_t t = 0; t < size; ++t)
      MEGALITH_CHECK(start[t] >= 0 && start[t] <= static_cast<std::int32_t>(t));
  }
}

}  // namespace

// The first two bytes are the size of the .bin, the rest is the index.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Folder folder;
  if (size < 2) return 0;
  const std::string bin(static_cast<std::size_t>(data[0] + 256 * (data[1] % 8)), '\x81');
  write(folder.path / "t.bin", bin.data(), bin.size());
  write(folder.path / "t.idx", data + 2, size - 2);
  const auto file = TokenFile::open(folder.path / "t");
  if (!file) return 0;
  must_add_up(**file);
  must_train_on_every_token(value_or_throw(TokenSet::open(folder.path / "t")), 1 + data[0] % 9);
  return 0;
}
