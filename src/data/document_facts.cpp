#include "data/document_facts.h"

#include <system_error>
#include <utility>

#include "data/token_index.h"

namespace megalith {
namespace {

constexpr std::string_view kMagic = "MEGADOC1";
constexpr std::size_t kBytesEach = 8;

}  // namespace

Expected<DocumentFacts> DocumentFacts::open(const std::filesystem::path& prefix, const TokenMeta& meta,
                                            std::int64_t num_documents) {
  DocumentFacts facts;
  facts.source_names_ = meta.source_names;
  facts.has_prompts_ = meta.has_prompts;
  if (meta.documents_digest.empty()) return facts;
  std::filesystem::path path = prefix;
  path += ".documents";
  Expected<MappedFile> file = MappedFile::open(path);
  if (!file) return tl::unexpected(std::move(file).error());
  facts.file_ = std::move(*file);
  const std::string_view bytes = facts.file_.text();
  const std::size_t size = kMagic.size() + kBytesEach * static_cast<std::size_t>(num_documents);
  if (!bytes.starts_with(kMagic) || bytes.size() != size) {
    return refuse(
        {.where = path.string(),
         .found = fmt::format("{} bytes{}", bytes.size(),
                              bytes.starts_with(kMagic) ? "" : " that do not begin with MEGADOC1"),
         .allowed = fmt::format("MEGADOC1 and {} bytes for each of {} documents", kBytesEach, num_documents),
         .nearest = "build the token files again"});
  }
  return facts;
}

std::uint32_t DocumentFacts::number(std::int64_t document, int which) const {
  const std::size_t at =
      kMagic.size() + kBytesEach * static_cast<std::size_t>(document) + 4 * static_cast<std::size_t>(which);
  if (at + 4 > file_.bytes().size()) return 0;
  return token_index::load<std::uint32_t>(file_.bytes().data() + at);
}

std::int64_t DocumentFacts::prompt_tokens(std::int64_t document) const {
  return has_prompts_ ? number(document, 1) : 0;
}

std::string DocumentFacts::source(std::int64_t document) const {
  const std::uint32_t source = number(document, 0);
  return source < source_names_.size() ? source_names_[source] : "";
}

DocumentFactsWriter::DocumentFactsWriter(std::filesystem::path path)
    : path_(std::move(path)), file_(path_), buffer_(kMagic) {}

DocumentFactsWriter::~DocumentFactsWriter() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

void DocumentFactsWriter::add(std::uint32_t source, std::uint32_t prompt_tokens) {
  constexpr std::size_t kBufferBytes = std::size_t{256} << 10;
  for (const std::uint32_t value : {source, prompt_tokens}) {
    for (int shift = 0; shift < 32; shift += 8) buffer_ += static_cast<char>(value >> shift & 0xFF);
  }
  has_prompts_ = has_prompts_ || prompt_tokens > 0;
  if (buffer_.size() >= kBufferBytes) flush();
}

void DocumentFactsWriter::flush() {
  digester_.update(buffer_.data(), buffer_.size());
  file_.write(buffer_);
  buffer_.clear();
}

std::uint64_t DocumentFactsWriter::seal() {
  flush();
  file_.sync();
  file_.close();
  return digester_.value();
}

}  // namespace megalith
