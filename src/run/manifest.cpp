#include "run/manifest.h"

#include <algorithm>
#include <iterator>
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
// Slices that begin in the same row are compared in pairs; a tensor cut by every rank of a large job stays
// far below.
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

ordered_json to_json(const std::vector<CheckpointFile>& files) {
  ordered_json array = ordered_json::array();
  for (const CheckpointFile& file : files) array.push_back(to_json(file));
  return array;
}

// One a line.
std::string to_lines(const std::map<std::string, CheckpointTensor, std::less<>>& tensors) {
  std::string lines;
  for (const auto& [name, tensor] : tensors) {
    lines +=
        fmt::format("{}\n{}:{}", lines.empty() ? "" : ",", dump_json(json(name)), dump_json(to_json(tensor)));
  }
  return "{" + lines + "}";
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

// What is wrong with a set of slices, each inside its tensor: nothing, or two that overlap, or elements left
// out. Swept along the rows, so that only slices that share a row are compared.
std::string problem_of_cover(const CheckpointTensor& tensor) {
  std::size_t swept = 0;
  while (swept < 3 && tensor.shape[swept] == 1) ++swept;
  std::vector<const StoredSlice*> slices;
  for (const StoredSlice& slice : tensor.slices) slices.push_back(&slice);
  std::sort(slices.begin(), slices.end(),
            [&](const StoredSlice* a, const StoredSlice* b) { return a->offset[swept] < b->offset[swept]; });
  std::vector<const StoredSlice*> reaching;  // past the row that the sweep is at
  for (const StoredSlice* slice : slices) {
    std::erase_if(reaching, [&](const StoredSlice* other) {
      return other->offset[swept] + other->shape[swept] <= slice->offset[swept];
    });
    for (const StoredSlice* other : reaching) {
      if (overlap(*other, *slice)) return "slices that do not overlap";
    }
    reaching.push_back(slice);
  }
  std::int64_t covered = 0;  // without overlap no more than there are
  for (const StoredSlice* slice : slices) covered += count_of(slice->shape);
  const std::int64_t count = count_of(tensor.shape);
  return covered == count ? "" : fmt::format("slices that cover all {} elements, not {}", count, covered);
}

// `whole`: refuses slices that do not cover the tensor exactly once.
CheckpointTensor read_tensor(const json& entry, const std::string& where, std::size_t num_files, bool whole) {
  const JsonFields fields(entry, where);
  CheckpointTensor tensor;
  tensor.dtype = read_dtype(fields);
  tensor.shape = read_extents(fields, "shape");
  checked_count(tensor.shape, fields);
  const json& slices = fields.array("slices");
  if (slices.size() > kMaxSlices) fields.bad("slices", fmt::format("at most {} slices", kMaxSlices));
  for (const json& slice : slices)
    tensor.slices.push_back(read_slice(slice, where + " slice", tensor.shape, num_files));
  if (const std::string problem = whole ? problem_of_cover(tensor) : ""; !problem.empty())
    fields.bad("slices", problem);
  return tensor;
}

std::vector<CheckpointFile> read_files(const JsonFields& fields, const std::string& where,
                                       std::uint64_t chunk_bytes) {
  std::vector<CheckpointFile> files;
  std::set<std::string> names;
  for (const json& entry : fields.array("files")) {
    files.push_back(read_file_entry(entry, where + " file", chunk_bytes));
    if (!names.insert(files.back().name).second) fields.bad("files", "each file once");
  }
  return files;
}

std::map<std::string, CheckpointTensor, std::less<>> read_tensors(const JsonFields& fields,
                                                                  const std::string& where,
                                                                  std::size_t num_files, bool whole) {
  const json& entries = fields.any("tensors");
  if (!entries.is_object()) fields.bad("tensors", "an object");
  std::map<std::string, CheckpointTensor, std::less<>> tensors;
  for (const auto& [name, entry] : entries.items()) {
    tensors.emplace(name, read_tensor(entry, where + " tensor " + in_quotes(name), num_files, whole));
  }
  return tensors;
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
  manifest.files = read_files(fields, where, manifest.chunk_bytes);
  manifest.tensors = read_tensors(fields, where, manifest.files.size(), true);
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
  add("files", dump_json(to_json(manifest.files)));
  add("tensors", to_lines(manifest.tensors));
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

std::string to_text(const ManifestPart& part) {
  return fmt::format("{{\n\"files\":{},\n\"tensors\":{}}}\n", dump_json(to_json(part.files)),
                     to_lines(part.tensors));
}

Expected<ManifestPart> parse_manifest_part(std::string_view text, const std::string& where,
                                           std::uint64_t chunk_bytes) {
  try {
    const json document = parse_json(text, where, kMaxDepth);
    const JsonFields fields(document, where);
    ManifestPart part;
    part.files = read_files(fields, where, chunk_bytes);
    part.tensors = read_tensors(fields, where, part.files.size(), false);
    return part;
  } catch (const BadField& bad) {
    return refuse(bad.refusal);
  }
}

Expected<void> add_part(Manifest& manifest, ManifestPart part, const std::string& where) {
  const std::size_t files_before = manifest.files.size();
  std::set<std::string_view> names;
  for (const CheckpointFile& file : manifest.files) names.insert(file.name);
  for (const CheckpointFile& file : part.files) {
    if (!names.contains(file.name)) continue;
    return refuse({.where = where,
                   .found = "file " + in_quotes(file.name) + " again",
                   .allowed = "each file once",
                   .nearest = ""});
  }
  for (auto& [name, tensor] : part.tensors) {
    const auto [place, fresh] =
        manifest.tensors.try_emplace(name, CheckpointTensor{tensor.dtype, tensor.shape, {}});
    CheckpointTensor& whole = place->second;
    if (whole.dtype != tensor.dtype || whole.shape != tensor.shape) {
      return refuse(
          {.where = where + " tensor " + in_quotes(name),
           .found = fmt::format("{} {}", name_of(tensor.dtype), describe(tensor.shape)),
           .allowed = fmt::format("{} {}, as other writers say", name_of(whole.dtype), describe(whole.shape)),
           .nearest = ""});
    }
    for (StoredSlice& slice : tensor.slices) {
      slice.file += files_before;
      whole.slices.push_back(std::move(slice));
    }
  }
  std::move(part.files.begin(), part.files.end(), std::back_inserter(manifest.files));
  return {};
}

Expected<void> check_cover(const Manifest& manifest, const std::string& where) {
  constexpr std::size_t kMostNamed = 3;  // what is wrong with one tensor is often wrong with all
  Refusals broken;
  for (const auto& [name, tensor] : manifest.tensors) {
    if (broken.size() == kMostNamed) break;
    std::string allowed = tensor.slices.size() > kMaxSlices ? fmt::format("at most {} slices", kMaxSlices)
                                                            : problem_of_cover(tensor);
    if (allowed.empty()) continue;
    broken.push_back({.where = where + " tensor " + in_quotes(name),
                      .found = fmt::format("{} slices of {}", tensor.slices.size(), describe(tensor.shape)),
                      .allowed = std::move(allowed),
                      .nearest = ""});
  }
  if (!broken.empty()) return refuse(std::move(broken));
  return {};
}

}  // namespace megalith
