#include "run/manifest.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/digest.h"
#include "run/json_fields.h"

namespace megalith {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kFormat = "megalith-checkpoint";
constexpr int kVersion = 1;
constexpr int kMaxDepth = 8;
// The check for overlap compares slices in pairs; a tensor cut by every rank of a large job stays far below.
constexpr std::size_t kMaxSlices = 8192;
// The text ends with this line, a digest, and a brace: the digest covers all that stands before the line.
constexpr std::string_view kDigestLead = ",\n\"digest\":\"";
constexpr std::string_view kDigestTail = "\"}\n";
constexpr std::size_t kTrailer = kDigestLead.size() + 16 + kDigestTail.size();

ordered_json to_json(const Extents& shape) {
  return ordered_json(std::vector<std::int64_t>(shape.begin(), shape.end()));
}

ordered_json to_json(const CheckpointFile& file) {
  std::string digests;  // one string: a large run has millions of chunks
  for (const std::uint64_t digest : file.content.digests) digests += to_hex(digest);
  return {{"name", file.name}, {"bytes", file.content.bytes}, {"digests", digests}};
}

ordered_json to_json(const CheckpointTensor& tensor) {
  ordered_json slices = ordered_json::array();
  for (const StoredSlice& slice : tensor.slices) {
    slices.push_back({{"file", slice.file},
                      {"key", slice.key},
                      {"offset", to_json(slice.offset)},
                      {"shape", to_json(slice.shape)}});
  }
  return {{"dtype", name_of(tensor.dtype)}, {"shape", to_json(tensor.shape)}, {"slices", slices}};
}

Extents read_extents(const JsonFields& fields, const char* name) {
  const json& array = fields.array(name);
  if (array.size() != 4) fields.bad(name, "4 extents");
  Extents extents{};
  for (std::size_t d = 0; d < 4; ++d) {
    // Signed, so that what comes from arithmetic on them is checked below and not wrapped here.
    if (!array[d].is_number_unsigned() || array[d].get<std::uint64_t>() > std::uint64_t{INT64_MAX}) {
      fields.bad(name, "integers from 0 to 2^63 - 1");
    }
    extents[d] = array[d].get<std::int64_t>();
  }
  return extents;
}

// The number of elements, or BadField when it does not fit.
std::int64_t checked_count(const Extents& shape, const JsonFields& fields) {
  std::int64_t count = 8;  // bytes of the widest element
  for (const std::int64_t extent : shape) {
    if (__builtin_mul_overflow(count, extent, &count)) fields.bad("shape", "fewer than 2^63 bytes");
  }
  return count / 8;
}

CheckpointFile read_file_entry(const json& entry, const std::string& where, std::uint64_t chunk_bytes) {
  const JsonFields fields(entry, where);
  CheckpointFile file;
  file.name = fields.text("name");
  if (!is_plain_name(file.name) || file.name == "manifest.json") fields.bad("name", "a plain file name");
  file.content.bytes = static_cast<std::uint64_t>(fields.integer("bytes", 0, INT64_MAX));
  const std::string_view digests = fields.text("digests");
  const std::uint64_t chunks =
      file.content.bytes / chunk_bytes + (file.content.bytes % chunk_bytes != 0 ? 1 : 0);
  if (digests.size() % 16 != 0 || digests.size() / 16 != chunks) {
    fields.bad("digests", fmt::format("{} digests of 16 digits", chunks));
  }
  for (std::size_t at = 0; at < digests.size(); at += 16) {
    file.content.digests.push_back(parse_hex(digests.substr(at, 16), fields.where("digests")));
  }
  return file;
}

bool overlap(const StoredSlice& a, const StoredSlice& b) {
  for (std::size_t d = 0; d < 4; ++d) {
    if (a.offset[d] >= b.offset[d] + b.shape[d] || b.offset[d] >= a.offset[d] + a.shape[d]) return false;
  }
  return true;
}

DType read_dtype(const JsonFields& fields) {
  const std::string& name = fields.text("dtype");
  for (const DType dtype : {DType::f32, DType::bf16, DType::i64, DType::i32, DType::u8}) {
    if (name == name_of(dtype)) return dtype;
  }
  fields.bad("dtype", "f32, bf16, i64, i32 or u8");
}

StoredSlice read_slice(const json& entry, const std::string& where, const Extents& whole,
                       std::size_t num_files) {
  const JsonFields fields(entry, where);
  StoredSlice slice;
  slice.file = static_cast<std::size_t>(fields.integer("file", 0, static_cast<std::int64_t>(num_files) - 1));
  slice.key = fields.text("key");
  slice.offset = read_extents(fields, "offset");
  slice.shape = read_extents(fields, "shape");
  for (std::size_t d = 0; d < 4; ++d) {
    if (slice.offset[d] > whole[d] || slice.shape[d] > whole[d] - slice.offset[d]) {
      fields.bad("offset", "a slice inside " + describe(whole));
    }
  }
  return slice;
}

CheckpointTensor read_tensor(const json& entry, const std::string& where, std::size_t num_files) {
  const JsonFields fields(entry, where);
  CheckpointTensor tensor;
  tensor.dtype = read_dtype(fields);
  tensor.shape = read_extents(fields, "shape");
  const std::int64_t count = checked_count(tensor.shape, fields);
  const json& slices = fields.array("slices");
  if (slices.size() > kMaxSlices) fields.bad("slices", fmt::format("at most {} slices", kMaxSlices));
  std::int64_t covered = 0;  // at most kMaxSlices times 2^60 without overlap; checked as it grows
  for (const json& slice : slices) {
    tensor.slices.push_back(read_slice(slice, where + " slice", tensor.shape, num_files));
    const StoredSlice& last = tensor.slices.back();
    for (std::size_t s = 0; s + 1 < tensor.slices.size(); ++s) {
      if (overlap(tensor.slices[s], last)) fields.bad("slices", "slices that do not overlap");
    }
    covered += count_of(last.shape);
  }
  if (covered != count) fields.bad("slices", fmt::format("slices that cover all {} elements", count));
  return tensor;
}

// The text without its trailer, after its digest was found right; closed again to be a JSON document.
std::string checked_body(std::string_view text, const std::string& where) {
  const auto damaged = [&](std::string found) {
    return BadField{
        {.where = where, .found = std::move(found), .allowed = "an undamaged manifest", .nearest = ""}};
  };
  if (text.size() < kTrailer || !text.ends_with(kDigestTail) ||
      text.substr(text.size() - kTrailer, kDigestLead.size()) != kDigestLead) {
    throw damaged("no digest at its end");
  }
  const std::string_view body = text.substr(0, text.size() - kTrailer);
  const std::string_view digest = text.substr(body.size() + kDigestLead.size(), 16);
  const std::string actual = to_hex(digest_bytes(body.data(), body.size()));
  if (digest != actual)
    throw damaged(fmt::format("a text with digest {} that claims {}", actual, in_quotes(digest)));
  return std::string(body) + "}";
}

CheckpointFacts read_facts(const JsonFields& fields) {
  CheckpointFacts facts;
  facts.step = fields.integer("step", 0, INT64_MAX);
  facts.config = fields.text("config");
  facts.numerics = fields.text("numerics");
  facts.next_sample = fields.integer("next_sample", 0, INT64_MAX);
  facts.tokens_seen = fields.integer("tokens_seen", 0, INT64_MAX);
  if (const json& line = fields.any("ledger"); !line.is_null()) {
    Expected<LedgerLine> parsed = parse_ledger_line(line.dump(), fields.where("ledger"));
    if (!parsed) throw BadField{parsed.error().front()};
    if (parsed->step != facts.step)
      fields.bad("step", fmt::format("{}, the ledger line's step", parsed->step));
    facts.ledger = std::move(*parsed);
  }
  const json& notes = fields.any("notes");
  if (!notes.is_object()) fields.bad("notes", "an object");
  for (const auto& [name, note] : notes.items()) {
    if (!note.is_string()) fields.bad("notes", "strings");
    facts.notes.emplace(name, note.get<std::string>());
  }
  return facts;
}

Manifest read_manifest(std::string_view text, const std::string& where) {
  const json document = parse_json(checked_body(text, where), where, kMaxDepth);
  const JsonFields fields(document, where);
  if (fields.text("format") != kFormat) fields.bad("format", kFormat);
  if (fields.integer("version", 1, INT64_MAX) != kVersion) fields.bad("version", fmt::format("{}", kVersion));
  Manifest manifest;
  manifest.facts = read_facts(fields);
  manifest.chunk_bytes = static_cast<std::uint64_t>(fields.integer("chunk_bytes", 1, std::int64_t{1} << 40));
  std::set<std::string> names;
  for (const json& entry : fields.array("files")) {
    manifest.files.push_back(read_file_entry(entry, where + " file", manifest.chunk_bytes));
    if (!names.insert(manifest.files.back().name).second) fields.bad("files", "each file once");
  }
  const json& tensors = fields.any("tensors");
  if (!tensors.is_object()) fields.bad("tensors", "an object");
  for (const auto& [name, entry] : tensors.items()) {
    manifest.tensors.emplace(name,
                             read_tensor(entry, where + " tensor " + in_quotes(name), manifest.files.size()));
  }
  return manifest;
}

}  // namespace

std::int64_t count_of(const Extents& shape) {
  return shape[0] * shape[1] * shape[2] * shape[3];
}

std::string describe(const Extents& shape) {
  std::size_t first = 0;
  while (first < 3 && shape[first] == 1) ++first;
  std::string text = fmt::format("{}", shape[first]);
  for (std::size_t d = first + 1; d < 4; ++d) text += fmt::format("x{}", shape[d]);
  return text;
}

bool is_plain_name(std::string_view name) {
  if (name.empty() || name.size() > 255 || name.front() == '.') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return letter || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

std::string to_text(const Manifest& manifest) {
  const CheckpointFacts& facts = manifest.facts;
  ordered_json files = ordered_json::array();
  for (const CheckpointFile& file : manifest.files) files.push_back(to_json(file));
  std::string body = "{";
  const auto add = [&](const char* name, const std::string& value) {
    body += fmt::format("{}\"{}\":{}", body.size() == 1 ? "\n" : ",\n", name, value);
  };
  add("format", fmt::format("\"{}\"", kFormat));
  add("version", fmt::format("{}", kVersion));
  add("step", fmt::format("{}", facts.step));
  add("next_sample", fmt::format("{}", facts.next_sample));
  add("tokens_seen", fmt::format("{}", facts.tokens_seen));
  add("numerics", dump_json(json(facts.numerics)));
  add("ledger", facts.ledger ? to_text(*facts.ledger) : "null");
  add("notes", dump_json(json(facts.notes)));
  add("config", dump_json(json(facts.config)));
  add("chunk_bytes", fmt::format("{}", manifest.chunk_bytes));
  add("files", dump_json(files));
  std::string tensors;  // one a line
  for (const auto& [name, tensor] : manifest.tensors) {
    tensors += fmt::format("{}\n{}:{}", tensors.empty() ? "" : ",", dump_json(json(name)),
                           dump_json(to_json(tensor)));
  }
  add("tensors", "{" + tensors + "}");
  return fmt::format("{}{}{}{}", body, kDigestLead, to_hex(digest_bytes(body.data(), body.size())),
                     kDigestTail);
}

Expected<Manifest> parse_manifest(std::string_view text, const std::string& where) {
  try {
    return read_manifest(text, where);
  } catch (const BadField& bad) {
    return refuse(bad.refusal);
  }
}

}  // namespace megalith
