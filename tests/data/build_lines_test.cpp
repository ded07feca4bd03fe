// Token files from lines of JSON: what is kept, what is not, and that the books balance.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "data/build.h"
#include "data/document_facts.h"
#include "data/packed_text.h"
#include "data/scratch_folder.h"
#include "data/token_file.h"
#include "data/tokenizer/bpe_trainer.h"
#include "data/verify.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const Tokenizer& tokenizer() {
  static const Tokenizer one = [] {
    TextsInMemory source({"the cat sat on the mat and the hat"});
    return value_or_throw(train_bpe(source, {.vocabulary_size = 270, .special_tokens = {"<|endoftext|>"}}));
  }();
  return one;
}

struct Built {
  BuildReport report;
  std::vector<std::string> documents, sources;
  std::vector<std::int64_t> prompt_tokens;
};

Built build(const fs::path& file, const fs::path& prefix, int workers = 2) {
  const BuildOptions options{.output_prefix = prefix, .held_out_every = 0, .num_workers = workers};
  Built built{.report = value_or_throw(build_token_files(std::vector{file}, tokenizer(), options))};
  value_or_throw(verify_token_files(prefix));
  const auto tokens = value_or_throw(TokenFile::open(prefix));
  const auto meta = value_or_throw(read_token_meta(prefix.string() + ".meta.json"));
  const DocumentFacts facts = value_or_throw(DocumentFacts::open(prefix, *meta, tokens->num_documents()));
  for (std::int64_t d = 0; d < tokens->num_documents(); ++d) {
    const TokenRange range = tokens->document(d);
    std::vector<std::int32_t> ids(static_cast<std::size_t>(range.count) - 1);  // without the end
    tokens->read(range.begin, range.count - 1, ids.data());
    built.documents.push_back(value_or_throw(tokenizer().decode(ids)));
    built.sources.push_back(facts.source(d));
    built.prompt_tokens.push_back(facts.prompt_tokens(d));
  }
  return built;
}

std::vector<Json> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<Json> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(Json::parse(line));
  return lines;
}

const std::string kLines =
    "{\"text\": \"the cat\", \"meta\": {\"pile_set_name\": \"Books3\"}}\n"
    "{\"text\": \"the\n"                    // cut
    "\n"                                    // empty
    "{\"text\": \"\\ud800\"}\n"             // half a pair of surrogates
    "{\"text\": \"\\ud83d\\ude00\"}\n"      // a whole one
    "{\"text\": \"\\udc00\"}\n"             // and the other half
    "{\"text\": 5}\n"                       //
    "[1]\n"                                 //
    "{\"title\": \"x\"}\n"                  //
    "{\"text\": \"bad \xff utf8\"}\n"       //
    "{\"text\": \"a\", \"text\": \"b\"}\n"  // which of the two?
    "{\"text\": \"\"}\n" +
    std::string(2000, '[') + "\n{\"prompt\": \"the hat\", \"completion\": \" sat\"}";

TEST(BuildFromLines, KeepsQuarantinesAndBalances) {
  const ScratchFolder folder;
  const std::string path = folder / "a.jsonl.zst";
  write_bytes(path, zstd(kLines));
  const Built built = build(path, folder / "t");
  EXPECT_EQ(built.documents, (std::vector<std::string>{"the cat", "\xf0\x9f\x98\x80", "the hat sat"}));
  EXPECT_EQ(built.sources, (std::vector<std::string>{"Books3", path, path}));
  EXPECT_EQ(built.prompt_tokens[0], 0);
  EXPECT_GT(built.prompt_tokens[2], 0);
  EXPECT_EQ(built.report.lines_read, 14);
  EXPECT_EQ(built.report.lines_kept, 3);
  EXPECT_EQ(built.report.lines_empty, 2);
  EXPECT_EQ(built.report.lines_quarantined, 9);
  EXPECT_EQ(built.report.pairs, 1);
  EXPECT_EQ(built.report.bytes_read, static_cast<std::int64_t>(kLines.size()));
}

TEST(BuildFromLines, PointsAtEverythingThatWasLeftOut) {
  const ScratchFolder folder;
  write_bytes(folder / "a.jsonl", kLines);
  const BuildReport report = build(folder / "a.jsonl", folder / "t").report;
  std::int64_t bytes = 0;
  const std::vector<Json> entries = lines_of(bytes_of(folder / "t.quarantine.jsonl"));
  for (const Json& entry : entries) {
    EXPECT_FALSE(entry["reason"].get<std::string>().empty());
    const auto offset = entry["offset"].get<std::size_t>(), size = entry["bytes"].get<std::size_t>();
    EXPECT_TRUE(kLines[offset - 1] == '\n' && kLines[offset + size - 1] == '\n') << entry;
    bytes += static_cast<std::int64_t>(size);
  }
  EXPECT_EQ(entries.size(), 9u);
  EXPECT_EQ(bytes, report.quarantined_bytes);
  // A second build, of clean text, takes the old files away.
  write_bytes(folder / "b.txt", "the cat\n");
  build(folder / "b.txt", folder / "t");
  EXPECT_FALSE(fs::exists(folder / "t.quarantine.jsonl"));
  EXPECT_FALSE(fs::exists(folder / "t.documents"));
}

TEST(BuildFromLines, QuarantinesLinesThatAreTooLongWithoutHoldingThem) {
  const ScratchFolder folder;
  write_bytes(folder / "a.jsonl",
              "{\"text\": \"" + std::string(kLongestRecord + 100, 'x') + "\"}\n{\"text\": \"the\"}\n");
  const Built built = build(folder / "a.jsonl", folder / "t", 1);
  EXPECT_EQ(built.documents, std::vector<std::string>{"the"});
  EXPECT_EQ(built.report.lines_quarantined, 1);
  EXPECT_NE(bytes_of(folder / "t.quarantine.jsonl").find("of which at most"), std::string::npos);
}

TEST(BuildFromLines, QuarantinesRunsOfBytesInPlainText) {
  const ScratchFolder folder;
  write_bytes(folder / "a.txt",
              "the c\xff\xfe"
              "at\nsat\xc3\n");
  const Built built = build(folder / "a.txt", folder / "t");
  EXPECT_EQ(built.documents, std::vector<std::string>{"the cat\nsat\n"});
  EXPECT_EQ(built.report.quarantined_runs, 2);
  EXPECT_EQ(built.report.quarantined_bytes, 3);
  EXPECT_EQ(built.report.kept_bytes, 12);
  const std::vector<Json> entries = lines_of(bytes_of(folder / "t.quarantine.jsonl"));
  EXPECT_EQ(entries[0]["offset"], 5);
  EXPECT_EQ(entries[0]["excerpt"], "ff fe");
  EXPECT_EQ(entries[1]["offset"], 13);
}

TEST(BuildFromLines, WritesTheSameBytesWithAnyNumberOfWorkers) {
  const ScratchFolder folder;
  std::string lines;
  for (int i = 0; i < 30000; ++i) {
    const Json line{{"text", fmt::format("the cat no. {} sat", i)},
                    {"meta", {{"pile_set_name", fmt::format("set {}", i % 5)}}}};
    lines += i % 7 == 3 ? "{broken\n" : line.dump() + "\n";
  }
  write_bytes(folder / "a.jsonl.gz", gzip(lines));
  write_bytes(folder / "b.txt", varied_text(100000));
  const auto written = [&](int workers) {
    value_or_throw(
        build_token_files(std::vector{folder / "a.jsonl.gz", folder / "b.txt"}, tokenizer(),
                          {.output_prefix = folder / "t", .held_out_every = 9, .num_workers = workers}));
    std::string all;
    for (const char* part : {"t-train", "t-held_out"}) {
      for (const char* kind : {".bin", ".idx", ".meta.json", ".documents"})
        all += bytes_of(folder / (std::string(part) + kind));
    }
    return all + bytes_of(folder / "t.quarantine.jsonl");
  };
  const std::string one = written(1);
  EXPECT_TRUE(written(2) == one);
  EXPECT_TRUE(written(5) == one);
}

TEST(BuildFromLines, RefusesDamagedFilesAndFilesWithoutTextAndLeavesNothing) {
  const ScratchFolder folder;
  write_bytes(folder / "a.jsonl.gz", gzip(varied_text(900)).substr(0, 2000));
  write_bytes(folder / "b.jsonl", "{\"content\": \"x\"}\n");
  write_bytes(folder / "empty.txt", "");
  const auto refusal = [&](const char* name) {
    const auto result =
        build_token_files(std::vector{folder / name}, tokenizer(),
                          {.output_prefix = folder / "t", .held_out_every = 0, .num_workers = 2});
    return result ? "" : to_string(result.error());
  };
  EXPECT_NE(refusal("a.jsonl.gz").find("inside a gzip member"), std::string::npos);
  EXPECT_NE(refusal("b.jsonl").find("--text-key"), std::string::npos);
  EXPECT_NE(refusal("empty.txt").find("no text"), std::string::npos);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator{}), 3);
}

}  // namespace
}  // namespace megalith
