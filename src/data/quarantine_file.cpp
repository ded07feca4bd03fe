#include "data/quarantine_file.h"

#include <nlohmann/json.hpp>
#include <system_error>

#include "data/token_file_names.h"

namespace megalith {

QuarantineFile::QuarantineFile(const std::filesystem::path& prefix)
    : path_(with_suffix(prefix, ".quarantine.jsonl")), temporary_(temporary_of(path_)) {}

QuarantineFile::~QuarantineFile() {
  file_.reset();
  std::error_code ignored;
  std::filesystem::remove(temporary_, ignored);
}

void QuarantineFile::add(const std::string& file, const Quarantined& quarantined) {
  if (!file_) file_.emplace(temporary_);
  const nlohmann::ordered_json line = {{"file", file},
                                       {"offset", quarantined.offset},
                                       {"bytes", quarantined.bytes},
                                       {"reason", quarantined.reason},
                                       {"excerpt", quarantined.excerpt}};
  // A path may be no UTF-8.
  file_->write(line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

void QuarantineFile::publish() {
  std::error_code error;
  if (!file_) {
    std::filesystem::remove(path_, error);
    return;
  }
  file_->sync();
  file_->close();
  file_.reset();
  std::filesystem::rename(temporary_, path_, error);
  if (error) throw WorldFailed(fmt::format("{}: {}", path_.string(), error.message()));
}

}  // namespace megalith
