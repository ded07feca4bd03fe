#include "run/run_directory.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "core/file.h"
#include "run/json_fields.h"

namespace megalith {
namespace {

constexpr const char* kFormat = "megalith-run";
constexpr int kVersion = 1;
constexpr std::size_t kMaxConfigBytes = 16 << 20;
constexpr std::size_t kMaxFactsBytes = 1 << 20;
// What may stand in a folder whose creation was cut short. The lock is taken after creation or, by a careful
// caller, before it.
constexpr std::array<std::string_view, 4> kEarlyNames{"config.toml", "checkpoints", "samples", "lock"};

std::string now_in_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), size};
}

std::string to_text(const CreationFacts& facts) {
  return nlohmann::ordered_json{{"format", kFormat},
                                {"version", kVersion},
                                {"program_version", facts.program_version},
                                {"created", facts.created},
                                {"machine", facts.machine}}
             .dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) +
         "\n";
}

Expected<CreationFacts> parse_facts(std::string_view text, const std::string& where) {
  try {
    const nlohmann::json document = parse_json(text, where, 4);
    const JsonFields fields(document, where);
    if (fields.text("format") != kFormat) fields.bad("format", kFormat);
    if (fields.integer("version", 1, INT64_MAX) != kVersion)
      fields.bad("version", fmt::format("{}", kVersion));
    CreationFacts facts;
    facts.program_version = fields.text("program_version");
    facts.created = fields.text("created");
    if (!fields.any("machine").is_object()) fields.bad("machine", "an object");
    for (const auto& [name, value] : fields.any("machine").items()) {
      if (!value.is_string()) fields.bad("machine", "strings");
      facts.machine.emplace(name, value.get<std::string>());
    }
    return facts;
  } catch (const BadField& bad) {
    return refuse(bad.refusal);
  }
}

void make_folder(const std::filesystem::path& folder) {
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  if (failure) throw WorldFailed(fmt::format("creating {}: {}", folder.string(), failure.message()));
}

// Refuses a place where a run cannot be made.
Expected<void> check_place(const std::filesystem::path& folder) {
  std::error_code failure;
  const auto status = std::filesystem::status(folder, failure);
  if (status.type() == std::filesystem::file_type::not_found) return {};
  if (!std::filesystem::is_directory(status)) {
    return refuse({.where = folder.string(),
                   .found = failure ? failure.message() : "a file",
                   .allowed = "a new folder, or a run",
                   .nearest = ""});
  }
  for (std::filesystem::directory_iterator entry(folder, failure), end; !failure && entry != end;
       entry.increment(failure)) {
    const std::string name = entry->path().filename().string();
    const bool early = std::find(kEarlyNames.begin(), kEarlyNames.end(), name) != kEarlyNames.end() ||
                       name.starts_with("config.toml.tmp-") || name.starts_with("run.json.tmp-");
    if (early) continue;
    const bool run = name == "run.json";
    return refuse({.where = folder.string(),
                   .found = run ? "a run" : "a folder with other things in it, such as " + in_quotes(name),
                   .allowed = "a new or empty folder",
                   .nearest = (folder / "run").string()});
  }
  if (failure) {
    return refuse({.where = folder.string(),
                   .found = failure.message(),
                   .allowed = "a readable folder",
                   .nearest = ""});
  }
  return {};
}

}  // namespace

bool RunDirectory::is_run(const std::filesystem::path& folder) {
  std::error_code ignored;
  return std::filesystem::exists(folder / "run.json", ignored);
}

Expected<RunLock> RunDirectory::claim(const std::filesystem::path& folder) {
  if (const Expected<void> free = check_place(folder); !free) return tl::unexpected(free.error());
  make_folder(folder);
  Expected<RunLock> lock = RunLock::take(folder / "lock");
  if (!lock) return lock;
  if (const Expected<void> free = check_place(folder); !free) return tl::unexpected(free.error());
  return lock;
}

Expected<RunDirectory> RunDirectory::create(const std::filesystem::path& folder, std::string_view config,
                                            CreationFacts facts) {
  const Expected<void> free = check_place(folder);
  if (!free) return tl::unexpected(free.error());
  if (config.size() > kMaxConfigBytes) {
    return refuse({.where = folder.string(),
                   .found = fmt::format("a config of {} bytes", config.size()),
                   .allowed = fmt::format("at most {}", kMaxConfigBytes),
                   .nearest = ""});
  }
  RunDirectory run;
  run.folder_ = folder;
  run.config_ = config;
  run.facts_ = std::move(facts);
  if (run.facts_.created.empty()) run.facts_.created = now_in_utc();
  for (const auto& made : {folder, run.checkpoints(), run.samples()}) make_folder(made);
  write_file_atomically(run.config_file(), config);
  write_file_atomically(folder / "run.json", to_text(run.facts_));
  return run;
}

Expected<RunDirectory> RunDirectory::open(const std::filesystem::path& folder) {
  if (!is_run(folder)) {
    std::error_code ignored;
    return refuse({.where = folder.string(),
                   .found = std::filesystem::exists(folder, ignored) ? "no run.json in it" : "nothing",
                   .allowed = "a run directory",
                   .nearest = ""});
  }
  const Expected<std::string> facts_text = read_file(folder / "run.json", kMaxFactsBytes);
  if (!facts_text) return tl::unexpected(facts_text.error());
  Expected<CreationFacts> facts = parse_facts(*facts_text, (folder / "run.json").string());
  if (!facts) return tl::unexpected(std::move(facts).error());
  Expected<std::string> config = read_file(folder / "config.toml", kMaxConfigBytes);
  if (!config) return tl::unexpected(std::move(config).error());
  RunDirectory run;
  run.folder_ = folder;
  run.config_ = std::move(*config);
  run.facts_ = std::move(*facts);
  return run;
}

Expected<RunDirectory> RunDirectory::open_or_create(const std::filesystem::path& folder,
                                                    std::string_view config, CreationFacts facts) {
  return is_run(folder) ? open(folder) : create(folder, config, std::move(facts));
}

}  // namespace megalith
