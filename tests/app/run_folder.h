// A run directory of a test, removed with it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace megalith::app {

class RunFolder {
 public:
  RunFolder();
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, std::string_view text) const;
  // Everything a finished run of `steps` steps leaves.
  void fill(int steps) const;

 private:
  std::filesystem::path path_;
};

}  // namespace megalith::app
