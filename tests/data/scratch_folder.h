// An empty folder that goes away with its object.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "core/file.h"

namespace megalith {

class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "megalith-data-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw WorldFailed("no scratch folder " + name);
    path_ = name;
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline void write_bytes(const std::filesystem::path& path, std::string_view bytes) {
  OutputFile file(path);
  file.write(bytes);
  file.close();
}

inline std::string bytes_of(const std::filesystem::path& path) {
  return value_or_throw(read_file(path, std::size_t{1} << 30));
}

}  // namespace megalith
