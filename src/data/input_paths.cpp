#include "data/input_paths.h"

#include <glob.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>

#include "core/file.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

// The last extension that says what the text is: ".jsonl" of "a.jsonl.zst".
std::string kind_of_name(fs::path path) {
  if (path.extension() == ".gz" || path.extension() == ".zst") path = path.stem();
  return path.extension().string();
}

bool is_text_name(const fs::path& path) {
  // Not .json, which in a folder is seldom text to train on.
  static constexpr std::array<std::string_view, 9> kKinds{".txt", ".text", ".md",    ".rst",   ".tex",
                                                          ".log", ".raw",  ".jsonl", ".ndjson"};
  return std::find(kKinds.begin(), kKinds.end(), kind_of_name(path)) != kKinds.end();
}

bool is_hidden(const fs::path& path) {
  return path.filename().string().starts_with('.');
}

class Expansion {
 public:
  void add(const std::string& argument) {
    std::error_code error;
    const fs::file_status status = fs::status(argument, error);
    if (fs::is_directory(status)) {
      add_folder(argument);
    } else if (fs::exists(status) || argument.find_first_of("*?[") == std::string::npos) {
      add_file(argument);
    } else {
      add_pattern(argument);
    }
  }

  Expected<InputPaths> finish() && {
    if (!refusals_.empty()) return refuse(std::move(refusals_));
    if (paths_.files.empty())
      return refuse({.where = "text files", .found = "none", .allowed = "one or more", .nearest = ""});
    return std::move(paths_);
  }

 private:
  void refuse_argument(const std::string& argument, const char* found, const char* allowed) {
    refusals_.push_back({.where = argument, .found = found, .allowed = allowed, .nearest = ""});
  }

  void add_file(const fs::path& path) {
    // Says what is wrong with it now, and not after an hour of work on the files before it.
    const Expected<MappedFile> file = MappedFile::open(path);
    if (file) {
      paths_.files.push_back(path);
    } else {
      refusals_.insert(refusals_.end(), file.error().begin(), file.error().end());
    }
  }

  void add_folder(const std::string& folder) {
    std::vector<fs::path> files;
    std::error_code error;
    fs::recursive_directory_iterator at(folder, error);
    for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
      if (is_hidden(at->path())) {
        at.disable_recursion_pending();
        continue;
      }
      std::error_code unreadable;
      if (at->is_directory(unreadable)) continue;
      if (at->is_regular_file(unreadable) && is_text_name(at->path())) {
        files.push_back(at->path());
      } else {
        ++paths_.skipped;
        if (paths_.first_skipped.empty()) paths_.first_skipped = at->path().string();
      }
    }
    if (error) {
      refusals_.push_back(
          {.where = folder, .found = error.message(), .allowed = "a folder that can be read"});
    } else if (files.empty()) {
      refuse_argument(folder, "a folder without text files", "a folder with .txt, .md, .jsonl, ... in it");
    }
    add_sorted(std::move(files));
  }

  void add_pattern(const std::string& pattern) {
    glob_t found{};
    const int result = ::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found);
    std::vector<fs::path> files;
    for (std::size_t i = 0; result == 0 && i < found.gl_pathc; ++i) {
      const fs::path path = found.gl_pathv[i];
      std::error_code error;
      if (!fs::is_directory(path, error)) files.push_back(path);
    }
    ::globfree(&found);
    if (files.empty()) refuse_argument(pattern, "a pattern that no file matches", "files that exist");
    add_sorted(std::move(files));
  }

  void add_sorted(std::vector<fs::path> files) {
    std::sort(files.begin(), files.end(),
              [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
    for (const fs::path& file : files) add_file(file);
  }

  InputPaths paths_;
  Refusals refusals_;
};

}  // namespace

Expected<InputPaths> expand_inputs(std::span<const std::string> arguments) {
  Expansion expansion;
  for (const std::string& argument : arguments) expansion.add(argument);
  return std::move(expansion).finish();
}

bool is_json_lines(const fs::path& path) {
  const std::string kind = kind_of_name(path);
  return kind == ".jsonl" || kind == ".ndjson" || kind == ".json";
}

}  // namespace megalith
