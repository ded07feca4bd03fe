#include "data/token_file_names.h"

#include <glob.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <optional>
#include <string>
#include <string_view>

namespace megalith {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTemporary = ".tmp-";

fs::path folder_of(const fs::path& prefix) {
  return prefix.has_parent_path() ? prefix.parent_path() : fs::path(".");
}

// A number of at least `digits` digits at the front of `text`, which it is taken from.
std::optional<std::int64_t> take_number(std::string_view& text, std::size_t digits) {
  std::int64_t number = 0;
  const std::size_t length = std::min(text.find_first_not_of("0123456789"), text.size());
  if (length < digits || length > 9) return std::nullopt;
  std::from_chars(text.data(), text.data() + length, number);
  text.remove_prefix(length);
  return number;
}

struct Shard {
  std::int64_t number = 0;
  std::int64_t count = 0;
};

// What "-00002-of-00010" says.
std::optional<Shard> parse_shard(std::string_view text) {
  constexpr std::string_view kOf = "-of-";
  if (!text.starts_with('-')) return std::nullopt;
  text.remove_prefix(1);
  const auto number = take_number(text, 5);
  if (!number || !text.starts_with(kOf)) return std::nullopt;
  text.remove_prefix(kOf.size());
  const auto count = take_number(text, 5);
  if (!count || !text.empty()) return std::nullopt;
  return Shard{.number = *number, .count = *count};
}

// Calls visit(path, rest of the name behind the prefix) for every file of the folder that begins with it.
template <class Visit>
void for_each_with_prefix(const fs::path& prefix, const Visit& visit) {
  const std::string name = prefix.filename().string();
  std::error_code error;
  for (fs::directory_iterator at(folder_of(prefix), error); !error && at != fs::directory_iterator();
       at.increment(error)) {
    const std::string file = at->path().filename().string();
    if (file.starts_with(name)) visit(at->path(), std::string_view(file).substr(name.size()));
  }
}

// `rest` without `suffix`, where it ends in that.
std::optional<std::string_view> without_suffix(std::string_view rest, std::string_view suffix) {
  if (!rest.ends_with(suffix)) return std::nullopt;
  return rest.substr(0, rest.size() - suffix.size());
}

std::vector<Shard> shards_of(const fs::path& prefix) {
  std::vector<Shard> shards;
  for_each_with_prefix(prefix, [&](const fs::path&, std::string_view rest) {
    const auto middle = without_suffix(rest, ".idx");
    const auto shard = middle ? parse_shard(*middle) : std::nullopt;
    if (shard) shards.push_back(*shard);
  });
  std::sort(shards.begin(), shards.end(), [](const Shard& a, const Shard& b) {
    return a.count != b.count ? a.count < b.count : a.number < b.number;
  });
  return shards;
}

Expected<std::vector<fs::path>> prefixes_of(const fs::path& prefix, const std::vector<Shard>& shards) {
  const std::int64_t count = shards.front().count;
  if (shards.back().count != count) {
    return refuse({.where = prefix.string(),
                   .found = fmt::format("shards of sets of {} and of {}", count, shards.back().count),
                   .allowed = "the shards of one set",
                   .nearest = shard_prefix(prefix, 0, count).string() + ".idx belongs to one of the two"});
  }
  std::vector<fs::path> prefixes;
  for (const Shard& shard : shards) {
    const auto expected = static_cast<std::int64_t>(prefixes.size());
    if (shard.number != expected) break;
    prefixes.push_back(shard_prefix(prefix, shard.number, count));
  }
  const auto found = static_cast<std::int64_t>(prefixes.size());
  if (found == count && found == static_cast<std::int64_t>(shards.size())) return prefixes;
  return refuse({.where = with_suffix(shard_prefix(prefix, found, count), ".idx").string(),
                 .found = fmt::format("{} of {} shards, and not this one", shards.size(), count),
                 .allowed = fmt::format("all of {}", count),
                 .nearest = "build the token files again, or bring the missing ones"});
}

Expected<std::vector<fs::path>> matches_of(const fs::path& pattern) {
  glob_t found{};
  const int result = ::glob(with_suffix(pattern, ".idx").c_str(), GLOB_NOSORT, nullptr, &found);
  std::vector<fs::path> prefixes;
  for (std::size_t i = 0; result == 0 && i < found.gl_pathc; ++i) {
    const std::string path = found.gl_pathv[i];
    prefixes.emplace_back(path.substr(0, path.size() - 4));
  }
  ::globfree(&found);
  if (prefixes.empty()) {
    return refuse({.where = pattern.string(),
                   .found = "a pattern that no token files match",
                   .allowed = "a pattern of their paths without .bin and .idx",
                   .nearest = ""});
  }
  std::sort(prefixes.begin(), prefixes.end(),
            [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
  return prefixes;
}

void remove_if_there(const fs::path& path) {
  std::error_code error;
  fs::remove(path, error);
  if (error) throw WorldFailed(fmt::format("removing {}: {}", path.string(), error.message()));
}

}  // namespace

fs::path with_suffix(fs::path prefix, std::string_view suffix) {
  prefix += suffix;
  return prefix;
}

fs::path shard_prefix(const fs::path& prefix, std::int64_t shard, std::int64_t num_shards) {
  return with_suffix(prefix, fmt::format("-{:05}-of-{:05}", shard, num_shards));
}

Expected<std::vector<fs::path>> token_file_prefixes(const fs::path& name) {
  std::error_code error;
  if (fs::exists(fs::symlink_status(with_suffix(name, ".idx"), error))) return std::vector{name};
  if (const std::vector<Shard> shards = shards_of(name); !shards.empty()) return prefixes_of(name, shards);
  if (name.native().find_first_of("*?[") != std::string::npos) return matches_of(name);
  return std::vector{name};
}

std::vector<std::string> token_file_names_beside(const fs::path& name) {
  std::vector<std::string> names;
  for_each_with_prefix(folder_of(name) / "", [&](const fs::path&, std::string_view rest) {
    std::optional<std::string_view> pair = without_suffix(rest, ".idx");
    if (!pair) return;
    constexpr std::size_t kShard = std::string_view("-00000-of-00000").size();
    if (pair->size() > kShard && parse_shard(pair->substr(pair->size() - kShard)))
      pair = pair->substr(0, pair->size() - kShard);
    names.push_back((name.has_parent_path() ? name.parent_path() / *pair : fs::path(*pair)).string());
  });
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

void remove_token_files(const fs::path& prefix) {
  std::vector<fs::path> paths;
  for (const char* suffix : kTokenFileSuffixes) {
    paths.push_back(with_suffix(prefix, suffix));
    for_each_with_prefix(prefix, [&](const fs::path& path, std::string_view rest) {
      const auto middle = without_suffix(rest, suffix);
      if (middle && parse_shard(*middle)) paths.push_back(path);
    });
  }
  for (const fs::path& path : paths) remove_if_there(path);
}

fs::path temporary_of(const fs::path& path) {
  return with_suffix(path, fmt::format("{}{}", kTemporary, ::getpid()));
}

void remove_leftovers(const fs::path& prefix) {
  std::vector<fs::path> leftovers;
  for_each_with_prefix(prefix, [&](const fs::path& path, std::string_view rest) {
    const std::size_t at = rest.rfind(kTemporary);
    if (at == std::string_view::npos || (rest[0] != '-' && rest[0] != '.')) return;
    std::string_view digits = rest.substr(at + kTemporary.size());
    const auto owner = take_number(digits, 1);
    const std::string_view name = rest.substr(0, at);
    const bool ours = name.ends_with(".quarantine.jsonl") ||
                      std::any_of(std::begin(kTokenFileSuffixes), std::end(kTokenFileSuffixes),
                                  [&](const char* suffix) { return name.ends_with(suffix); });
    if (!owner || !digits.empty() || !ours) return;
    if (::kill(static_cast<pid_t>(*owner), 0) != 0 && errno == ESRCH) leftovers.push_back(path);
  });
  std::error_code ignored;
  for (const fs::path& path : leftovers) fs::remove(path, ignored);
}

}  // namespace megalith
